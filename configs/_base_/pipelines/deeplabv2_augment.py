# Augmentation of deeplab-pytorch. The preprocessor pads small images below and to the right, with
# the mean colour and the ignore label.
deeplab_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss', to_float32=True),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScaleCV2', scales=(0.5, 0.75, 1.0, 1.25, 1.5), rule='size'),
    dict(type='RandomCrop', crop_size=(321, 321)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.PackWSSSInputs'),
]
