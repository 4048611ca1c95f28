# Augmentation of DeepLabV1 on ResNet-38 (SEAM's retraining).
deeplab_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.IntHSVJitter', delta=10),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='mmwsss.RandomScaleCV2',
        scale_range=(0.5, 1.5),
        rule='factor',
        interpolation='bicubic',
    ),
    # the mean colour (BGR): zero after normalisation
    dict(type='mmwsss.RandomPadCrop', crop_size=448, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
