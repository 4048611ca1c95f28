# Augmentation of AFA: Pillow's antialiased scaling, black padding, crops of 512 pixels.
crop512_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.5, 2.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=512, pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
