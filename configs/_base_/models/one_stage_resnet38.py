# 1-Stage on ResNet-38d, the network of the published figures: 138.0 M parameters.
_base_ = ['./one_stage_r50.py', '../backbones/resnet38.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsss.ResNet38d',
        out_indices=(4, 3),
        init_cfg={{_base_.resnet38_init}},
    ),
    decode_head=dict(in_channels=(256, 4096)),
    test_cfg=dict(score_threshold=0.1),
)
tta_cfg = dict(scales=[1.0, 0.5, 1.5, 2.0], canvas=1024)
