# SEAM's classifier on ResNet-38, tested by crops of ten scales (PMM).
_base_ = './seam_resnet38.py'
model = dict(
    test_cfg=dict(
        scales=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0), crop=448, stride=300
    )
)
