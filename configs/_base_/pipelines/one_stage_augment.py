# Augmentation of 1-Stage, for a side of 448 and, with ResNet-38, of 321 pixels. If ten trials of a
# crop do not fit, the central square is taken, as with torchvision 0.2.1. fallback='whole' is the
# rule of today, which keeps more of the image.
one_stage_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=448, scale=(0.9, 1.0), fallback='square'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.PackWSSSInputs'),
]
one_stage_pipeline_321 = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=321, scale=(0.9, 1.0), fallback='square'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.PackWSSSInputs'),
]
