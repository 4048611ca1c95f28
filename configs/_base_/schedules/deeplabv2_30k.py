# deeplabv2_20k.py for 30000 steps.
_base_ = './deeplabv2_20k.py'
train_cfg = dict(max_iters=60000)
