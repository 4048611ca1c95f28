# Augmentation of MMSegmentation's VOC configs, for retraining on pseudo masks.
mmseg_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScaleCV2', scale_range=(0.5, 2.0), rule='size'),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='mmwsss.PackWSSSInputs'),
]
