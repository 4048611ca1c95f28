"""PSA on the embedded mini data set: from nothing to a retrained network, on a CPU in minutes."""

data_root = 'data/mini'
cams = 'work_dirs/psa_mini_cam/cams'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
affinity = '../wsss/psa_mini_affinity.py'
classifier = '../wsss/psa_mini_cam.py'
network = '../segmentation/deeplabv1_resnet38_mini.py'

stages = [
    dict(name='classifier', run='train', config=classifier),
    dict(name='cams', run='predict', config=classifier, checkpoint='classifier'),
    dict(name='seed', run='evaluate', predictions=cams, **train),
    dict(
        name='crf',
        run='dense_crf',
        source=cams,
        images=f'{data_root}/JPEGImages',
        out='work_dirs/psa_mini_cam/crf',
        low_high=(1, 4),
    ),
    dict(name='affinity', run='train', config=affinity),
    dict(name='walk', run='predict', config=affinity, checkpoint='affinity'),
    dict(name='mask', run='evaluate', predictions='work_dirs/psa_mini_affinity/masks', **train),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv1'),
]
