# SGD of DeepLabV1 on ResNet-38 (SEAM's retraining): the head learns 10 times, its last bias 20
# times as fast; batch norm is not trained (see the model).
max_iters = 20000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    # the longest matching key counts
    paramwise_cfg=dict(
        custom_keys={
            'head': dict(lr_mult=10),
            '.cls.bias': dict(lr_mult=20, decay_mult=0),
        }
    ),
)
param_scheduler = [  # (1 - t / (max_iters + 1)) ** 0.9
    dict(
        type='mmwsss.PolyWarmupLR',
        max_iters=max_iters + 1,
        warmup_iters=0,
        power=0.9,
        by_epoch=False,
    )
]

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=2000)
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
randomness = dict(seed=1)
auto_scale_lr = dict(enable=False, base_batch_size=10)
