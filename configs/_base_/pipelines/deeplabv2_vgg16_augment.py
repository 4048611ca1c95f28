# Augmentation of L2G's DeepLabs on VGG-16: deeplab-pytorch's with larger crops and scales.
deeplab_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss', to_float32=True),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(
        type='mmwsss.RandomScaleCV2',
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
        rule='size',
    ),
    dict(type='RandomCrop', crop_size=(448, 448)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.PackWSSSInputs'),
]
