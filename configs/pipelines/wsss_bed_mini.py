"""Saliency-guided labels on the embedded mini data set: PSA's maps, saliency without learning."""

data_root = 'data/mini'
images, ids = f'{data_root}/JPEGImages', f'{data_root}/ImageSets/Segmentation/train.txt'
after = dict(pipeline='psa_mini', until='cams')
saliency, masks = 'work_dirs/{pipeline}/saliency_maps', 'work_dirs/{pipeline}/masks'
network = '../segmentation/deeplabv1_resnet38_mini.py'

stages = [
    dict(
        name='saliency',
        run='folder',
        task=dict(type='mmwsss.SaliencyFromImages', method='border_colour'),
        source=images,
        images=images,
        ids=ids,
        out=saliency,
    ),
    dict(
        name='labels',
        run='folder',
        # other settings: tau, sal_thresh, ignore; presets: CAM, OAA, MCIS, EDAM, DRS
        task=dict(type='mmwsss.MasksFromSaliency', saliency_dir=saliency, preset='CAM'),
        source='work_dirs/psa_mini_cam/cams',
        images=images,
        out=masks,
    ),
    dict(
        name='mask',
        run='evaluate',
        predictions=masks,
        truth=f'{data_root}/SegmentationClass',
        split=ids,
        classes='mini',
        convention='irn',  # 255 counts as background
    ),
    dict(
        name='network',
        run='train',
        config=network,
        options={'train_dataloader.dataset.mask_dir': masks},
    ),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv1'),
]
