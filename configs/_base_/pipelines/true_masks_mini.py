# Augmentation of mini.py with the true masks, for upper bounds.
masks_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=(112, 112), pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
