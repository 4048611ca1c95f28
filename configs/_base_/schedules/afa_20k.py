# AdamW of AFA: the heads learn ten times as fast as the encoder, whose LayerNorms are frozen. The
# learning rate falls to 0.925 of its value where the warm-up ends, as in the official code.
_base_ = './iterations.py'
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
        type='mmwsss.PolyWarmupLR', warmup_iters=1500, warmup_ratio=1e-6, power=1.0, by_epoch=False
    )
]
train_cfg = dict(max_iters=20000)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
randomness = dict(seed=1)
auto_scale_lr = dict(base_batch_size=8)
