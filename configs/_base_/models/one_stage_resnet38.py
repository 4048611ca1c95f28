# 1-Stage on ResNet-38d, the network of the published figures: 138.0 M parameters.
_base_ = './one_stage_r50.py'
data_preprocessor = dict(size=(321, 321))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmwsss.ResNet38d',
        out_indices=(4, 3),
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/resnet38_imagenet.pth',
            hint='docs/cam.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    decode_head=dict(in_channels=(256, 4096)),
    test_cfg=dict(score_threshold=0.1),
)
tta_cfg = dict(scales=[1.0, 0.5, 1.5, 2.0], canvas=1024)
