# ACR's optimizers, one for each network, alike: PSA's, momentum 5e-4 included (see there). The new
# layers have the rate of the others, the transposed convolutions of the generator ten times that.
_base_ = './sgd_poly_psa.py'
optim_wrapper = dict(
    type='mmwsss.SkippingOptimWrapper',
    patience=20,
    constructor='mmwsss.SeparateOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={'generator.ups': dict(lr_mult=10.0)},
        bias_lr_mult=2.0,
        bias_decay_mult=0.0,
    ),
)
train_cfg = dict(max_iters=52880, val_interval=52880)  # 40 epochs of train_aug, batches of 8
auto_scale_lr = dict(base_batch_size=8)
