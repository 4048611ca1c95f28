"""The embedded mini data set: 400 train images with image labels, 100 val images with masks."""

dataset_type = 'mmwsss.MiniDataset'
data_root = 'data/mini'
crop_size = (112, 112)

# _scope_ instead of a prefix: MMSegmentation's inferencers look for the plain names of the readers.
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
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
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train.txt',
        label_file='image_labels.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
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
