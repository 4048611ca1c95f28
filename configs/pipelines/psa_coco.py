"""PSA on MS COCO 2014. Seeds and masks are not judged: the true masks of train are not needed."""

data_root = 'data/coco2014'
cams = 'work_dirs/psa_coco_cam/cams'
classifier = '../wsss/psa_coco_cam.py'
affinity = '../wsss/psa_coco_affinity.py'
network = '../segmentation/deeplabv2_r101_coco.py'

stages = [
    dict(name='classifier', run='train', config=classifier),
    dict(name='cams', run='predict', config=classifier, checkpoint='classifier'),
    dict(
        name='crf',
        run='dense_crf',
        source=cams,
        images=f'{data_root}/train2014',
        out='work_dirs/psa_coco_cam/crf',
        low_high=(4, 32),
        stride=4,
    ),
    dict(name='affinity', run='train', config=affinity),
    dict(name='walk', run='predict', config=affinity, checkpoint='affinity'),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv2'),
]
