# The CAM baseline of most papers (IRN's code) on PASCAL VOC 2012: ResNet-50, 5 epochs.
# Published seeds on VOC train (1464 images): 48.3 mIoU.
_base_ = [
    '../_base_/models/resnet50_cam.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.1, momentum=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(_delete_=True, custom_keys={'decode_head': dict(lr_mult=10.0)}),
)
train_cfg = dict(max_iters=3305, val_interval=3305)
default_hooks = dict(checkpoint=dict(interval=3305))

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizeLong', long_range=(320, 640)),
    dict(type='RandomFlip', prob=0.5),
    # the mean colour (BGR): zero after normalisation
    dict(type='mmwsss.RandomPadCrop', crop_size=512, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/cam_voc/cams'
)
