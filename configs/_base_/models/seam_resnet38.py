# SEAM's classifier on ResNet-38, as PMM has it: the last block has dilation 2.
_base_ = ['./imagenet_rgb.py', '../backbones/resnet38.py']
model = dict(
    type='mmwsss.SEAM',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.ResNet38d',
        out_indices=(1, 2, 3),
        b7_dilation=2,
        init_cfg={{_base_.resnet38_init}},
    ),
    decode_head=dict(
        type='mmwsss.PCMHead',
        in_channels=(512, 1024, 4096),
        num_classes=20,
        dropout_ratio=0.5,
    ),
    test_cfg=dict(predict='cam', scales=(0.5, 1.0, 1.5, 2.0), background=0.1),
)
