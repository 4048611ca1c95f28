# DeepLabV2 on Caffe's ResNet-101 with multi-scale training (kazuto1011/deeplab-pytorch).
_base_ = './caffe_bgr_321.py'
model = dict(
    type='mmwsss.DeepLab',
    msc_scales=(0.5, 0.75),
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.CeilPoolResNet',
        depth=101,
        style='caffe',
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3,),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/deeplab_resnet101_imagenet.pth',
            prefix='backbone.',
            hint='docs/retraining.md tells how to get and convert the weights.',
        ),
    ),
    decode_head=dict(
        type='mmwsss.SumASPPHead',
        in_channels=2048,
        num_classes=21,
        dilations=(6, 12, 18, 24),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    test_cfg=dict(),
)

# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=deeplabv2
# model.test_cfg.crf.image=wrapped (docs/retraining.md)
