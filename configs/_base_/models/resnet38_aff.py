# PSA's AffinityNet on ResNet-38d (arXiv 1803.10464). It starts from ImageNet weights like the
# classifier; users who started from the classifier lost a point.
_base_ = './resnet38_cls.py'
model = dict(
    type='mmwsss.AffinityNet',
    backbone=dict(out_indices=(1, 2, 3)),
    decode_head=dict(
        _delete_=True,
        type='mmwsss.AffinityHead',
        in_channels=(512, 1024, 4096),
        channels=(64, 128, 256),
        radius=5,
    ),
    test_cfg=dict(_delete_=True, alpha=16, beta=8, logt=8),
)
