# IRN's CAM baseline (arXiv 1904.05044): torchvision's ResNet-50 with output stride 16.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='ResNet',
        depth=50,
        style='pytorch',
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 1),
        out_indices=(3,),
        norm_eval=True,
        frozen_stages=2,  # the official code detaches the output of layer2
        init_cfg=dict(type='mmwsss.StrictPretrained', checkpoint='torchvision://resnet50'),
    ),
    decode_head=dict(
        type='mmwsss.CAMHead', in_channels=2048, num_classes=20, dropout_ratio=0, init_cfg=None
    ),
    test_cfg=dict(
        predict='cam',
        scales=(1.0, 0.5, 1.5, 2.0),
        flip=True,
        resize='pil_cubic',
        merge='irn',
        background=0.15,
    ),
)
