"""The plain baseline on PASCAL VOC 2012: CAM of ResNet-50, dense CRF, DeepLabV2."""

data_root = 'data/VOCdevkit/VOC2012'
cams, masks = 'work_dirs/cam_voc/cams', 'work_dirs/cam_voc/masks'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
classifier = '../wsss/cam_voc.py'
network = '../segmentation/deeplabv2_r101_voc.py'
on_masks = {'train_dataloader.dataset.mask_dir': masks}

stages = [
    dict(name='classifier', run='train', config=classifier),
    dict(name='cams', run='predict', config=classifier, checkpoint='classifier'),
    dict(name='seed', run='evaluate', predictions=cams, background='range:0:0.6:0.01', **train),
    dict(
        name='crf',
        run='dense_crf',
        source=cams,
        images=f'{data_root}/JPEGImages',
        out=masks,
        background=0.15,  # IRN's threshold
        preset='irn',
    ),
    dict(name='mask', run='evaluate', predictions=masks, **train),
    dict(name='network', run='train', config=network, options=on_masks),
    dict(name='val', run='test', config=network, checkpoint='network'),
    dict(name='val_crf', run='test', config=network, checkpoint='network', crf='deeplabv2'),
]
