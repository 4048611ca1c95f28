# SGD of deeplab-pytorch: 20000 steps of two batches of 5 whose gradients are added up, the rate
# renewed every 10 steps. The runner counts batches, twice as many.
_base_ = './deeplabv1_20k.py'
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(lr=2.5e-4),
    paramwise_cfg=dict(
        custom_keys={
            '_delete_': True,
            'backbone': dict(lr_mult=1),
            'head': dict(lr_mult=10),
            '.bias': dict(lr_mult=20, decay_mult=0),  # of the head: 'backbone' is the longer key
        }
    ),
)
param_scheduler = [dict(type='mmwsss.StepwisePolyLR', interval=20, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
