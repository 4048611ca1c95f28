# PSPNet on the small ResNet-38, the network of PMM's retraining, on pseudo masks of mini: minutes
# on two CPU cores.
_base_ = './deeplabv1_resnet38_mini.py'
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(out_indices=(2, 3)),
    decode_head=dict(
        _delete_=True,
        type='PSPHead',
        in_channels=512,
        in_index=1,
        channels=64,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='mmwsss.BalancedCrossEntropy'),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=0,
        channels=32,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='mmwsss.BalancedCrossEntropy', loss_weight=0.4),
    ),
    test_cfg=dict(upsample_views=False, resize='factor', merge='prob_mean'),
)
