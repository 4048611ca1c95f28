# WSSS-BED's recipe for VOC: 10000 steps of two batches of 10 whose gradients are added up, the rate
# renewed every 10 steps. The runner counts batches, twice as many.
_base_ = './deeplabv2_20k.py'
train_cfg = dict(max_iters=20000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=10)
