# The CAM baseline of 1-Stage: the same ResNet-50, trained as a classifier.
_base_ = './resnet50_cam.py'
model = dict(
    backbone=dict(frozen_stages=0, norm_cfg=dict(type='BN', requires_grad=False)),
    decode_head=dict(
        _delete_=True, type='mmwsss.CAMHead', in_channels=2048, num_classes=20, dropout_ratio=0.5
    ),
    test_cfg=dict(_delete_=True, predict='seg', resize='pil_cubic', merge='psa', background=0.1),
)

# test.py --tta
tta_cfg = dict(scales=[1.0, 0.75, 1.25, 1.5], flip=True)
