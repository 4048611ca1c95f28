"""What all data sets here have in common: image labels of train, true masks of val.

``split`` names images, ``masks=True`` brings their true masks into reach.
"""

# _scope_ instead of a prefix: MMSegmentation's inferencers look for the plain names of the readers.
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.5, 2.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=(320, 320), pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
# Both optional: pseudo masks are written without true masks, and predictions of a segmentation
# network need no image labels.
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss', optional=True),
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(split='train', label_file='image_labels.json', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', masks=True, label_file='image_labels.json', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmwsss.WSSSIoUMetric')
test_evaluator = val_evaluator
