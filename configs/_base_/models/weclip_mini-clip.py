# WeCLIP on the mini CLIP (6 blocks of width 128, patch 8): same parts, smaller numbers.
_base_ = './weclip_vit-b16.py'
model = dict(
    backbone=dict(checkpoint='mini'),
    decode_head=dict(
        in_channels=128, num_layers=5, num_classes=11, channels=128, num_heads=4, affinity_radius=8
    ),
    refiner=dict(static_last=4, gated_last=3),
    # a third of VOC's crop: a third of its reach
    par=dict(dilations=(1, 2, 4, 8), iterations=10),
    test_cfg=dict(long_side=None),
)
