# MCTformer V2 on mini: a DeiT of 0.7 M parameters that starts from the shipped weights, which take
# the place of ImageNet's (docs/mini.md). test.py writes the maps of the training images and judges
# them as seeds.
_base_ = [
    '../_base_/models/mctformer.py',
    '../_base_/backbones/deit_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/adamw_cosine_mctformer.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.deit_mini}},
    decode_head=dict(in_channels=96, num_classes=10),
)
# without RandAugment: colours tell the classes of mini apart, and 600 iterations are few
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=112, scale=(0.5, 1.0), fallback='whole'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
# The blocks that name the classes learn ten times as fast as those whose attention tells what is
# alike (at one rate of 5e-4 it forgets that: seeds of 25 instead of 40 on train).
fast = dict(lr_mult=10.0)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            'backbone.cls_token': dict(lr_mult=10.0, decay_mult=0.0),
            'backbone.blocks.4': fast,
            'backbone.blocks.5': fast,
        }
    ),
)
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-5,
        warmup_iters=50,
        warmup_lr=1e-6,
        interval=25,
        lag=25,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=600, val_interval=600)
default_hooks = dict(checkpoint=dict(interval=600))
auto_scale_lr = dict(base_batch_size=16)
val_evaluator = dict(background_thresholds='range:0:1:0.01')
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
