# Some minutes on two CPU cores.
_base_ = './adamw_poly_warmup_30k.py'
max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
