# Augmentation of DeiT and MCTformer, for a side of 224 and, with MCTformer+, of 448 pixels.
mctformer_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=224, scale=(0.08, 1.0), fallback='whole'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandAugment', config='rand-m9-mstd0.5-inc1'),
    dict(type='mmwsss.RandomErasingNoise', prob=0.25),
    dict(type='mmwsss.PackWSSSInputs'),
]
mctformer_pipeline_448 = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=448, scale=(0.08, 1.0), fallback='whole'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandAugment', config='rand-m9-mstd0.5-inc1'),
    dict(type='mmwsss.RandomErasingNoise', prob=0.25),
    dict(type='mmwsss.PackWSSSInputs'),
]
