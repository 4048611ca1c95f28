# 1-Stage on the embedded mini data set: a ResNet-38d of 1.6 M parameters that starts from the
# shipped weights, which take the place of ImageNet's (docs/mini.md).
_base_ = [
    '../_base_/models/one_stage_resnet38.py',
    '../_base_/backbones/resnet38_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.resnet38_mini}},
    decode_head=dict(
        in_channels=(32, 512), num_classes=10, channels=64, skip_channels=12, dilations=(2, 4, 6)
    ),
    # a third of VOC's crop: a third of its reach
    refiner=dict(dilations=(1, 2, 4, 8)),
    mask_loss_start=150,
)
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=112, scale=(0.9, 1.0), fallback='square'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=5e-3), paramwise_cfg=dict(lr_mults=(1, 2, 10, 20)))
train_cfg = dict(max_iters=800, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=800, save_best=None, rule=None))
tta_cfg = dict(scales=[1.0, 0.75, 1.25, 1.5], canvas=192)
