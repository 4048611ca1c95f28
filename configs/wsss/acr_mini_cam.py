# ACR on mini: two ResNet-38d of 1.6 M parameters, as psa_mini_cam.py has one, and a small generator
# that halves crops of 96 pixels five times. test.py writes the maps of the training images and
# judges them as seeds.
_base_ = [
    '../_base_/models/acr_resnet38.py',
    '../_base_/backbones/resnet38_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/sgd_poly_acr.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.resnet38_mini}},
    decode_head=dict(in_channels=512, num_classes=10, mid_channels=64),
    reconstructor=dict(
        in_channels=(64, 128, 512),
        channels=(16, 32, 64),
        generator=dict(base_channels=16, depth=5),
    ),
    erase_cells=6,
    erase_growth_iters=8,
    test_cfg=dict(scales=(1.0, 0.75, 1.5)),
)
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=96, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.01, momentum=0.9))
train_cfg = dict(max_iters=320, val_interval=320)
default_hooks = dict(checkpoint=dict(interval=320))
val_evaluator = dict(background_thresholds='range:0:1:0.01')
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/acr_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
