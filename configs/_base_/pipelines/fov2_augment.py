# Augmentation of MCTformer's retraining.
fov2_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScaleCV2', scale_range=(0.7, 1.3), rule='size'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(321, 321)),
    dict(type='mmwsss.PackWSSSInputs'),
]
