"""WSSS-BED's row CAM on COCO 2014: ResNet-38's maps, MOVE's saliency, its labels, DeepLabV2.

The saliency maps are released: tools/dataset_converters/import_bed.py DOWNLOADS data/wsss_bed.
Labels are not judged: the true masks of train are not needed.
"""

data_root = 'data/coco2014'
after = dict(pipeline='psa_coco', until='cams')
network = '../segmentation/deeplabv2_r101_bed_coco.py'

stages = [
    dict(
        name='labels',
        run='folder',
        # other settings: tau, sal_thresh, ignore; presets: CAM and DRS
        task=dict(
            type='mmwsss.MasksFromSaliency',
            saliency_dir='data/wsss_bed/sal_maps/COCO2014_MOVE',
            preset='CAM',
        ),
        source='work_dirs/psa_coco_cam/cams',
        images=f'{data_root}/train2014',
        out='work_dirs/{pipeline}/masks',
    ),
    dict(name='network', run='train', config=network),
    dict(name='val', run='test', config=network, checkpoint='network'),
]
