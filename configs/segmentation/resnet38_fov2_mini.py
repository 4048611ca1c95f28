# The network of MCTformer's retraining, small, on pseudo masks of mini: minutes on two CPU cores.
_base_ = './deeplabv1_resnet38_mini.py'
model = dict(
    backbone=dict(frozen_stages=0, norm_eval=True),
    decode_head=dict(
        _delete_=True,
        type='mmwsss.TwoDilatedConvHead',
        in_channels=512,
        channels=64,
        num_classes=11,
        dilation=4,
        align_corners=False,
        loss_decode=dict(type='mmwsss.BalancedCrossEntropy'),
    ),
    test_cfg=dict(upsample_views=False, resize='corners', merge='prob_max'),
)

# test.py --tta
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=False)
