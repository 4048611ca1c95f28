# AdamW of AFA: the heads learn ten times as fast as the encoder, whose LayerNorms are frozen. The
# learning rate falls to 0.925 of its value where the warm-up ends, as in the official code.
max_iters = 20000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'cam_head': dict(lr_mult=10.0),
            'affinity_head': dict(lr_mult=10.0),
            'decode_head': dict(lr_mult=10.0),
        }
    ),
)
param_scheduler = [
    dict(
        type='mmwsss.PolyWarmupLR',
        warmup_iters=1500,
        warmup_ratio=1e-6,
        power=1.0,
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
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=2, save_best='mIoU'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
randomness = dict(seed=1)
auto_scale_lr = dict(enable=False, base_batch_size=8)
