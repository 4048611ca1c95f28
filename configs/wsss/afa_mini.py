# AFA on the embedded mini data set: a MiT of 1.8 M parameters with cells of 8 pixels that starts
# from the shipped weights, which take the place of ImageNet's (docs/mini.md).
_base_ = [
    '../_base_/models/afa_mit-b1.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/afa_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        embed_dims=24,
        strides=(4, 2, 1, 1),
        sr_ratios=(4, 2, 2, 1),
        init_cfg=dict(checkpoint='mmwsss://mini_mit', hint='Shipped with the package.'),
    ),
    cam_head=dict(in_channels=192, num_classes=10),
    affinity_head=dict(radius=2),
    decode_head=dict(
        in_channels=[24, 48, 120, 192],
        channels=64,
        num_classes=11,
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    # a third of VOC's crop: a third of its reach
    par=dict(dilations=(1, 2, 4, 8)),
    loss_schedule=dict(loss_seg=[(60, 0.1)], loss_affinity=[(60, 0.1)]),
    refined_start=450,
    # the maps of mini are broader than those of VOC
    high=0.8,
    low=0.5,
    test_cfg=dict(long_side=None),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=50, by_epoch=False)]
train_cfg = dict(max_iters=650, val_interval=325)
default_hooks = dict(checkpoint=dict(interval=650, save_best=None))
