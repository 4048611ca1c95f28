# Stock DeepLabV3+ of MMSegmentation, small, on the pseudo masks of mini: minutes on two CPU cores.
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py',
    '../_base_/datasets/mini_pseudo.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
norm_cfg = dict(type='BN', requires_grad=True)
data_preprocessor = dict(size=(112, 112))
model = dict(
    data_preprocessor=data_preprocessor,
    pretrained=None,
    backbone=dict(depth=18, stem_channels=16, base_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=128,
        channels=64,
        dilations=(1, 2, 4, 6),
        c1_in_channels=16,
        c1_channels=12,
        num_classes=11,
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=dict(in_channels=64, channels=32, num_classes=11, norm_cfg=norm_cfg),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=0.05), paramwise_cfg=dict(_delete_=True, custom_keys=dict()))
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=50, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=1000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
auto_scale_lr = dict(base_batch_size=8)
