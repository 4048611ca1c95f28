# ExCEL on the mini CLIP (6 blocks of width 128, patch 8): same parts, smaller numbers.
_base_ = './excel_vit-b16.py'
model = dict(
    backbone=dict(checkpoint='mini', num_surgery=3),
    decode_head=dict(
        in_channels=128, num_layers=6, num_classes=11, channels=128, num_heads=4, affinity_radius=8
    ),
    # the mini CLIP knows 17 words: this runs the enrichment, it cannot help
    text=dict(bank='mini', num_attributes=40),
    refiner=dict(static_last=3, gated_last=3, box_threshold=0.5),
    # a third of VOC's crop: a third of its reach
    par=dict(dilations=(1, 2, 4, 8), iterations=10),
    test_cfg=dict(sizes=(112,), side=112),
)
tta_cfg = dict(sizes=[112, 80, 136, 168])
