# ACR on ResNet-38d: two networks. The classifier gives the maps (106 M parameters with 20 classes),
# the reconstructor is needed in training only.
_base_ = './resnet38_cls.py'
model = dict(
    type='mmwsss.ACR',
    backbone=dict(out_indices=(1, 2, 3), dropout=(0.2, 0.2), frozen_stages=-1),
    decode_head=dict(mid_channels=256, dropout_ratio=0.0),
    reconstructor=dict(
        type='mmwsss.Reconstructor',
        in_channels=(512, 1024, 4096),
        channels=(64, 128, 256),
        generator=dict(type='mmwsss.UNetGenerator', base_channels=64, depth=8, dropout=0.5),
    ),
    test_cfg=dict(merge='acr'),
)
# one DistributedDataParallel for each network
model_wrapper_cfg = dict(type='MMSeparateDistributedDataParallel')
