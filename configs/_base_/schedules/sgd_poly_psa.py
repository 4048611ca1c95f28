# PSA's optimizer. Its momentum is 5e-4: the official class passes the weight decay in the place of
# the momentum. That is why the rates are so large; divide them by ten for momentum 0.9.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=5e-4, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={'decode_head': dict(lr_mult=10.0)}, bias_lr_mult=2.0, bias_decay_mult=0.0
    ),
)
# lr * (1 - k / max_iters) ** 0.9; mmengine's PolyLR reaches zero one iteration earlier
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=0, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=9915, val_interval=9915)  # 15 epochs of train_aug, batches of 16
auto_scale_lr = dict(base_batch_size=16)
