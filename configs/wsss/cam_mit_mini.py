# Plain CAM of AFA's small encoder on mini: the baseline of afa_mini.py, image labels and maps only.
_base_ = [
    '../_base_/models/resnet38_cls.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/adamw_poly_warmup_mini.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsss.MixVisionTransformerAttn',
        embed_dims=24,
        num_layers=(2, 2, 2, 2),
        num_heads=(1, 2, 5, 8),
        strides=(4, 2, 1, 1),
        sr_ratios=(4, 2, 2, 1),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='mmwsss://mini_mit',
            hint='Shipped with the package.',
        ),
    ),
    decode_head=dict(in_channels=192, num_classes=10, dropout_ratio=0.0, pool='max'),
    test_cfg=dict(scales=(1.0, 0.5, 1.5)),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}),
)
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=300))
val_evaluator = dict(background_thresholds='range:0:1:0.01')
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = dict(background_thresholds='range:0:1:0.01')
