# PSPNet as PMM retrains it. Its plain cross-entropy is a mean over all pixels, also the padding.
_base_ = './imagenet_rgb_512.py'
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='mmwsss.DeepLab',
    data_preprocessor={{_base_.data_preprocessor}},
    decode_head=dict(
        type='PSPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False, loss_weight=0.4),
    ),
    # images fit into 2048 x 512 pixels, whatever their size, and are seen by windows
    test_cfg=dict(fit=(2048, 512), crop=512, stride=480, merge='prob_mean'),
)
sync_bn = 'torch'  # with several GPUs

# test.py --tta: the published test, at the end of the training only
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True)
# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=deeplabv2
