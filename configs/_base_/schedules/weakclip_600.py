# AdamW of WeakCLIP for some hundred iterations.
_base_ = './weakclip_20k.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-5,
        warmup_iters=50,
        warmup_ratio=1e-6,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=600, val_interval=600)
default_hooks = dict(checkpoint=dict(interval=600))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=8)
