# Training of AffinityNet on two label maps (TransCAM). What the crop adds is left out of the
# losses; with pad_label=0 it is background, as in the official code.
two_labels_train = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadTwoLabels'),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(448, 448), pad_label=255),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseTwoLabels', stride=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
