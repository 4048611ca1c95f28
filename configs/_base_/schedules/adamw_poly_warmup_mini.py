# Some minutes on two CPU cores.
_base_ = './adamw_poly_warmup_30k.py'
train_cfg = dict(max_iters=1000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
