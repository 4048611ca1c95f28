# Pipelines of AffinityNet. The image is not resized, and its canvas is black, not the mean colour.
affinity_train = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCRFScores'),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(448, 448)),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseLowHighAlpha', pool=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
affinity_test = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss', optional=True),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM'),
    dict(type='mmwsss.PackAffinityInputs'),
]
