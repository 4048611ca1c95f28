# PSA, stage 1 on PASCAL VOC 2012 with VGG-16; published seeds on VOC train: 48.9 mIoU.
_base_ = [
    '../_base_/models/vgg16_cls.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizeLong', long_range=(256, 512)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCrop', crop_size=448, pad_val=(104.008, 116.669, 122.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/psa_voc_cam_vgg16/cams'
)
