# PSA's AffinityNet on VGG-16: dilated fc6, group norms in the head.
_base_ = './vgg16_cls.py'
model = dict(
    type='mmwsss.AffinityNet',
    backbone=dict(fc6_dilation=4, out_indices=(0, 1, 2)),
    decode_head=dict(
        _delete_=True,
        type='mmwsss.AffinityHead',
        in_channels=(512, 512, 1024),
        channels=(64, 128, 256),
        num_groups=(8, 16, 32),
        radius=5,
    ),
    test_cfg=dict(_delete_=True, alpha=16, beta=8, logt=8),
)
