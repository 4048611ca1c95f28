# AdamW of WeakCLIP: one rate for all that is trained; half a cosine from the first iteration on,
# times a linear warm-up.
_base_ = './iterations.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=3e-5))
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-6,
        warmup_iters=1500,
        warmup_ratio=1e-6,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=20000, val_interval=2000)
randomness = dict(seed=504)
auto_scale_lr = dict(base_batch_size=16)
