# deeplabv2_20k.py for 30000 steps.
_base_ = './deeplabv2_20k.py'
max_iters = 60000
param_scheduler = [
    dict(type='mmwsss.StepwisePolyLR', max_iters=max_iters, interval=20, power=0.9, by_epoch=False)
]
train_cfg = dict(max_iters=max_iters)
