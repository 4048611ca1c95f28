# Augmentation of PMM's classifiers: whole images, and the boxes of the multi-crop test.
pmm_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizeLong', long_range=(448, 768)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    # the mean colour (BGR): zero after normalisation
    dict(type='mmwsss.RandomPadCrop', crop_size=448, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
pmm_crop_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadRoughScores'),
    dict(type='mmwsss.RandomMultiCrop', crop=448, stride=300),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='Resize', scale=(448, 448), keep_ratio=False, backend='pillow'),
    dict(type='mmwsss.PackWSSSInputs'),
]
