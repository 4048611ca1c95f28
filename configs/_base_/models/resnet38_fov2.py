# ResNet-38 with two dilated convolutions (MCTformer's retraining).
_base_ = './deeplabv1_resnet38.py'
# images smaller than the crop are padded to it
data_preprocessor = dict(size=(321, 321), size_divisor=None)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        frozen_stages=0,
        norm_eval=True,
        bn_momentum=0.1,
        init_cfg=dict(
            checkpoint='pretrained/res38_cls.pth',
            prefix='backbone.',
            hint='docs/retraining.md tells how to get and convert the classifier.',
        ),
    ),
    decode_head=dict(
        _delete_=True,
        type='mmwsss.TwoDilatedConvHead',
        in_channels=4096,
        channels=512,
        num_classes=21,
        dilation=12,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    test_cfg=dict(upsample_views=False, resize='corners', merge='prob_max'),
)

# test.py --tta: the published test
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=False)
# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=mctformer
