"""A classifier on the embedded mini data set, its maps of the training images, and how good they
are as seeds. Pipelines inherit from this file and name the config."""

cams = 'work_dirs/{pipeline}/cams'
data_root = 'data/mini'
stages = dict(
    classifier=dict(run='train'),
    maps=dict(run='predict', checkpoint='classifier', write=dict(cams=cams)),
    seed=dict(
        run='evaluate',
        predictions=cams,
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='mini',
    ),
)
