# Augmentation of TransCAM's classifier: PSA's, for larger images.
transcam_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizeLong', long_range=(320, 640)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    # the mean colour (BGR): zero after normalisation
    dict(type='mmwsss.RandomPadCrop', crop_size=512, pad_val=(103.53, 116.28, 123.675)),
    dict(type='mmwsss.PackWSSSInputs'),
]
