"""The embedded mini data set: 400 train images with image labels, 100 val images with masks."""

_base_ = './image_labels.py'
dataset_type = 'mmwsss.MiniDataset'
data_root = 'data/mini'
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=(112, 112), pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(
    num_workers=1, dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=1, dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
