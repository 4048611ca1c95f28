# SGD of MCTformer's retraining, 30 epochs of VOC in batches of 4. Momentum and decay as they are,
# not as they were meant: the official optimizer takes the weight decay for the momentum.
_base_ = './deeplabv1_20k.py'
optim_wrapper = dict(
    optimizer=dict(lr=7e-4, momentum=1e-5, weight_decay=0.0),
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, head=dict(lr_mult=10))),
)
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=0, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=79350, val_interval=13225)
default_hooks = dict(checkpoint=dict(interval=13225))
auto_scale_lr = dict(base_batch_size=4)
