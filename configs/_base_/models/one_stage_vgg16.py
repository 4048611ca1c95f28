# 1-Stage on VGG-16 with output stride 8. Its input is normalised as that of the other backbones,
# although the weights are Caffe's.
_base_ = ['./one_stage_r50.py', '../backbones/vgg16.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsss.VGG16d',
        out_indices=(3, 2),
        frozen_stages=1,
        init_cfg={{_base_.vgg16_init}},
    ),
    decode_head=dict(in_channels=(256, 1024)),
    test_cfg=dict(background_power=1.0),
)
