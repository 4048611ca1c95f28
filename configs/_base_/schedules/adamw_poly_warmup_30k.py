# AdamW with the warm-up and polynomial decay of AFA, ToCo and WeCLIP. WeCLIP's code names 2e-4
# and multiplies it by 10 for the decoder, the only part that is trained.
max_iters = 30000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
)
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=50, by_epoch=False)]

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
auto_scale_lr = dict(enable=False, base_batch_size=4)
