# WeCLIP+ on the mini CLIP and the mini DINO: same parts, smaller numbers.
_base_ = './weclip-plus_vit-b16_dinov2-s14.py'
model = dict(
    backbone=dict(checkpoint='mini'),
    dino=dict(checkpoint='mini'),
    decode_head=dict(
        in_channels=128,
        dino_channels=128,
        num_classes=11,
        channels=128,
        num_heads=4,
        affinity_radius=8,
    ),
    refiner=dict(gated_last=3),
    # a third of VOC's crop: a third of its reach
    par=dict(dilations=(1, 2, 4, 8), iterations=10),
    test_cfg=dict(long_side=None),
)
