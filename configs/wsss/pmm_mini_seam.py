# PMM on mini, the first classifier: a ResNet-38d of 1.6 M parameters that starts from the shipped
# weights, which take the place of ImageNet's (docs/mini.md).
_base_ = [
    '../_base_/models/seam_resnet38.py',
    '../_base_/backbones/resnet38_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/sgd_poly_pmm.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.resnet38_mini}},
    decode_head=dict(
        in_channels=(64, 128, 512), num_classes=10, channels=(16, 32), dropout_ratio=0.0
    ),
    test_cfg=dict(scales=(1.0, 1.5)),
)
optim_wrapper = dict(optimizer=dict(lr=0.01, momentum=0.9))
train_cfg = dict(max_iters=200, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200))
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCrop', crop_size=112, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(background_thresholds='range:0:1:0.01')
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/pmm_mini_seam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
