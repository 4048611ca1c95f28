# deeplabv2_20k.py for 30000 steps.
_base_ = './deeplabv2_20k.py'
max_iters = 60000
train_cfg = dict(max_iters=max_iters)
