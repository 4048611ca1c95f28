# SGD of DeepLabV1 on ResNet-38 (SEAM's retraining): the head learns 10 times, its last bias 20
# times as fast; batch norm is not trained (see the model).
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    # the longest matching key counts
    paramwise_cfg=dict(
        custom_keys={
            'head': dict(lr_mult=10),
            '.cls.bias': dict(lr_mult=20, decay_mult=0),
        }
    ),
)
param_scheduler = [  # (1 - t / (max_iters + 1)) ** 0.9
    dict(type='mmwsss.PolyWarmupLR', extra_iters=1, warmup_iters=0, power=0.9, by_epoch=False)
]
train_cfg = dict(max_iters=20000)
randomness = dict(seed=1)
auto_scale_lr = dict(base_batch_size=10)
