"""CLIP-ES on MS COCO 2014. Nothing before the network is judged: train needs no true masks."""

data_root = 'data/coco2014'
network = '../segmentation/deeplabv2_r101_clip-es_coco.py'

stages = [
    dict(name='cams', run='predict', config='../wsss/clip_es_coco.py'),
    dict(
        name='confident',
        run='dense_crf',
        source='work_dirs/clip_es_coco/cams',
        images=f'{data_root}/train2014',
        out='work_dirs/clip_es_coco/masks',
        power=1,
        preset='deeplabv2',
        image='wrapped',
        confidence=0.95,
    ),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv2'),
]
