"""APC on the embedded mini data set: the classifier, and its maps of the training images."""

data_root = 'data/mini'

stages = [
    dict(name='classifier', run='train', config='../wsss/apc_mini.py'),
    dict(name='maps', run='predict', checkpoint='classifier'),
    dict(
        name='seed',
        run='evaluate',
        predictions='work_dirs/apc_mini/cams',
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='mini',
    ),
]
