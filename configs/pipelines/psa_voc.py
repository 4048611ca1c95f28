"""PSA on PASCAL VOC 2012: from image labels to a retrained DeepLabV1 (days on a CPU, use GPUs)."""

data_root = 'data/VOCdevkit/VOC2012'
cams = 'work_dirs/psa_voc_cam/cams'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
classifier = '../wsss/psa_voc_cam.py'
affinity = '../wsss/psa_voc_affinity.py'
network = '../segmentation/deeplabv1_resnet38_voc.py'

stages = [
    dict(name='classifier', run='train', config=classifier),
    dict(name='cams', run='predict', config=classifier, checkpoint='classifier'),
    dict(name='seed', run='evaluate', predictions=cams, background='range:0:0.6:0.01', **train),
    dict(
        name='crf',
        run='dense_crf',
        source=cams,
        images=f'{data_root}/JPEGImages',
        out='work_dirs/psa_voc_cam/crf',
        low_high=(4, 32),
    ),
    dict(name='affinity', run='train', config=affinity),
    dict(name='walk', run='predict', config=affinity, checkpoint='affinity'),
    dict(name='mask', run='evaluate', predictions='work_dirs/psa_voc_affinity/masks', **train),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network', tta=True),
    dict(
        name='val_crf', run='test', config=network, checkpoint='network', tta=True, crf='deeplabv1'
    ),
]
