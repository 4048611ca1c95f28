"""ExCEL without training on the embedded mini data set: its masks of the training images."""

data_root = 'data/mini'
masks = 'work_dirs/excel_free_mini/masks'

stages = [
    dict(name='pseudo', run='predict', config='../wsss/excel_free_mini.py'),
    dict(
        name='mask',
        run='evaluate',
        predictions=masks,
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='mini',
    ),
]
