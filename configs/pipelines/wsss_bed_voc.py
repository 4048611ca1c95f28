"""WSSS-BED's row CAM on VOC: ResNet-38's maps, MOVE's saliency, labels by its rule, DeepLabV2.

The saliency maps are released: tools/dataset_converters/import_bed.py DOWNLOADS data/wsss_bed.
"""

data_root = 'data/VOCdevkit/VOC2012'
after = dict(pipeline='psa_voc', until='cams')
masks = 'work_dirs/{pipeline}/masks'
network = '../segmentation/deeplabv2_r101_bed_voc.py'

stages = [
    dict(
        name='labels',
        run='folder',
        # other settings: tau, sal_thresh, ignore; presets: CAM, OAA, MCIS, EDAM, DRS
        task=dict(
            type='mmwsss.MasksFromSaliency',
            saliency_dir='data/wsss_bed/sal_maps/VOC2012_MOVE',
            preset='CAM',
        ),
        source='work_dirs/psa_voc_cam/cams',
        images=f'{data_root}/JPEGImages',
        out=masks,
    ),
    dict(
        name='mask',
        run='evaluate',
        predictions=masks,
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='voc12',
        convention='irn',  # 255 counts as background
    ),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv2'),
]
