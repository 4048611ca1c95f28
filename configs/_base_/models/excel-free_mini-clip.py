# The same on the mini CLIP (6 blocks of width 128, patch 8).
_base_ = './excel-free_vit-b16.py'
model = dict(
    backbone=dict(checkpoint='mini', num_surgery=3),
    refiner=dict(static_last=3, gated_last=3, box_threshold=0.5),
    par=dict(dilations=(1, 2, 4, 8), iterations=10),
    test_cfg=dict(sizes=(112,), side=112),
)
