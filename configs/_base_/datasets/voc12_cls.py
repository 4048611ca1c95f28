"""VOC 2012 for classifiers: PSA's augmentation; test.py visits train_aug with its image labels."""

_base_ = './voc12.py'
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizeLong', long_range=(256, 512)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    # the mean colour (BGR): zero after normalisation
    dict(type='mmwsss.RandomPadCrop', crop_size=448, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
cam_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train_aug.txt',
        pipeline=cam_pipeline,
    )
)
val_evaluator = dict(background_thresholds='range:0:0.6:0.01')
