"""CLIP-ES on PASCAL VOC 2012: only the last network is trained."""

data_root = 'data/VOCdevkit/VOC2012'
cams, masks = 'work_dirs/clip_es_voc/cams', 'work_dirs/clip_es_voc/masks'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
crf = dict(
    run='dense_crf',
    source=cams,
    images=f'{data_root}/JPEGImages',
    power=1,
    preset='deeplabv2',
    image='wrapped',
)
network = '../segmentation/deeplabv2_r101_clip-es_voc.py'

stages = [
    dict(name='cams', run='predict', config='../wsss/clip_es_voc.py'),
    dict(name='seed', run='evaluate', predictions=cams, background='power:[1,2]', **train),
    # all pixels, to measure; then without the unsure ones, to train (CGL)
    dict(name='crf', out='work_dirs/clip_es_voc/crf', **crf),
    dict(name='mask', run='evaluate', predictions='work_dirs/clip_es_voc/crf', **train),
    dict(name='confident', out=masks, confidence=0.95, **crf),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv2'),
]
