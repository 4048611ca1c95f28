# SEAM's classifier on ScaleNet-101 (PMM), tested by crops of ten scales.
_base_ = ['./imagenet_rgb.py', '../backbones/scalenet101.py']
model = dict(
    type='mmwsss.SEAM',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.ScaleNet',
        dilations=(1, 1, 1, 1),
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_eval=True,
        norm_frozen=True,
        init_cfg={{_base_.scalenet101_init}},
    ),
    decode_head=dict(
        type='mmwsss.PCMHead',
        in_channels=(512, 1024, 2048),
        num_classes=20,
        dropout_ratio=0.0,
    ),
    test_cfg=dict(
        predict='cam',
        scales=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0),
        crop=448,
        stride=300,
        background=0.1,
    ),
)
