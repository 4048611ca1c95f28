# PSA's optimizer. Its momentum is 5e-4: the official class passes the weight decay in the place of
# the momentum. That is why the rates are so large; divide them by ten for momentum 0.9.
max_iters = 9915  # 15 epochs of train_aug in batches of 16

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=5e-4, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={'decode_head': dict(lr_mult=10.0)}, bias_lr_mult=2.0, bias_decay_mult=0.0
    ),
)
# lr * (1 - k / max_iters) ** 0.9; mmengine's PolyLR reaches zero one iteration earlier
param_scheduler = [
    dict(
        type='mmwsss.PolyWarmupLR',
        warmup_iters=0,
        power=0.9,
        by_epoch=False,
    )
]

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
