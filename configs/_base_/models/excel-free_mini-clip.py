# The same on the mini CLIP (6 blocks of width 128, patch 8).
_base_ = './excel-free_vit-b16.py'
model = dict(
    backbone=dict(checkpoint='mini', num_surgery=3),
    # the mini CLIP knows 17 words: this runs the enrichment, it cannot help
    text=dict(bank='mini', num_attributes=40),
    refiner=dict(static_last=3, box_threshold=0.5),
    # a third of VOC's crop: a third of its reach
    par=dict(dilations=(1, 2, 4, 8), iterations=10),
    test_cfg=dict(side=112),
)
