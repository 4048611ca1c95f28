# CLIP-ES on the mini CLIP (6 blocks of width 128, patch 8).
_base_ = './clip-es_vit-b16.py'
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],  # ImageNet: what the mini CLIP was trained with
    std=[58.395, 57.12, 57.375],
)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(checkpoint='mini'),
    test_cfg=dict(caa=dict(attn_last=4, box_threshold=0.4)),
)
