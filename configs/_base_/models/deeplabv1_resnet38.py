# DeepLabV1-LargeFOV on ResNet-38 (SEAM's retraining, YudeWang/semantic-segmentation-codebase).
_base_ = ['./imagenet_rgb.py', '../backbones/resnet38.py']
model = dict(
    type='mmwsss.DeepLab',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.ResNet38d',
        out_indices=(3,),
        dropout=(0.3, 0.5),
        # As released: batch statistics everywhere (the published training never freezes them), a
        # slow running average, no layer frozen, affine parameters not trained.
        frozen_stages=-1,
        norm_eval=False,
        norm_frozen=True,
        bn_momentum=3e-4,
        init_cfg={{_base_.resnet38_init}},
    ),
    decode_head=dict(
        type='mmwsss.LargeFOVHead',
        in_channels=4096,
        channels=512,
        num_classes=21,
        dilations=(12,),
        dropout_ratios=(0.0, 0.5),
        dropout_type='element',
        norm_cfg=dict(type='BN', momentum=3e-4, requires_grad=False),
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_out'),
    ),
    test_cfg=dict(upsample_views=True, resize='cv2_cubic', merge='logit_mean'),
)

# test.py --tta: the published test
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True)
# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=deeplabv1
