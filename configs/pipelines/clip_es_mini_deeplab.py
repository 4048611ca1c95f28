"""CLIP-ES on the embedded mini data set: every step judged, minutes on a CPU."""

data_root = 'data/mini'
cams, masks = 'work_dirs/clip_es_mini/cams', 'work_dirs/clip_es_mini/masks'
gradcam = 'work_dirs/clip_es_mini/gradcam'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
crf = dict(
    run='dense_crf',
    source=cams,
    images=f'{data_root}/JPEGImages',
    power=3,  # the best of 1, 2, 3 on the train images
    preset='deeplabv2',
    image='wrapped',
)
maps = '../wsss/clip_es_mini.py'
network = '../segmentation/deeplabv3plus_r18_clip-es_mini.py'
plain = {'model.test_cfg.maps': 'plain', 'test_evaluator.0.output_dir': gradcam}

stages = [
    dict(name='gradcam', run='predict', config=maps, options=plain),
    dict(name='gradcam_seed', run='evaluate', predictions=gradcam, **train),
    dict(name='cams', run='predict', config=maps),
    dict(name='seed', run='evaluate', predictions=cams, **train),
    # all pixels, to measure; then without the unsure ones, to train (CGL)
    dict(name='crf', out='work_dirs/clip_es_mini/crf', **crf),
    dict(name='mask', run='evaluate', predictions='work_dirs/clip_es_mini/crf', **train),
    dict(name='confident', out=masks, confidence=0.95, **crf),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
]
