# SGD of 1-Stage: a constant rate, weights and biases of old and new layers in four groups. 21
# epochs of train_aug in batches of 16 (661 iterations each), five of them without the mask loss.
max_iters = 13881

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=5e-4, momentum=0.9, weight_decay=5e-4),
    constructor='mmwsss.FourGroupOptimWrapperConstructor',
    # old weights, old biases, new weights, new biases
    paramwise_cfg=dict(new='decode_head', lr_mults=(1, 1, 10, 10)),
)

# every other epoch, as the official code does
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1322)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=1322,
        max_keep_ckpts=2,
        save_best='mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
