"""PASCAL VOC 2012: train_aug (10582 images) with image labels, val (1449) with masks."""

dataset_type = 'mmwsss.VOC12Dataset'
data_root = 'data/VOCdevkit/VOC2012'
crop_size = (320, 320)

# _scope_ instead of a prefix: MMSegmentation's inferencers look for the plain names of the readers.
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.5, 2.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=crop_size, pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    # For cams and pictures only; predictions of the segmentation network do not use them.
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train_aug.txt',
        label_file='image_labels.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        label_file='image_labels.json',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmwsss.WSSSIoUMetric')
test_evaluator = val_evaluator
