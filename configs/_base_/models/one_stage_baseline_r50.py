# The CAM baseline of 1-Stage: the same ResNet-50, trained as a classifier.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(448, 448),
)
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=50,
        style='pytorch',
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 1),
        out_indices=(3,),
        frozen_stages=0,
        norm_eval=True,
        norm_cfg=dict(type='BN', requires_grad=False),
        init_cfg=dict(type='mmwsss.StrictPretrained', checkpoint='torchvision://resnet50'),
    ),
    decode_head=dict(type='mmwsss.CAMHead', in_channels=2048, num_classes=20, dropout_ratio=0.5),
    test_cfg=dict(mode='seg', resize='pil_cubic', merge='psa', background=0.1),
)

# test.py --tta
tta_cfg = dict(scales=[1.0, 0.75, 1.25, 1.5], flip=True)
