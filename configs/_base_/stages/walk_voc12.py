"""walk.py on PASCAL VOC 2012, DeepLabV1 on ResNet-38; seeds and masks are judged on train."""

_base_ = './walk.py'
data_root = 'data/VOCdevkit/VOC2012'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    seed=dict(background='range:0:0.6:0.01', **train),
    crf=dict(images=f'{data_root}/JPEGImages'),
    affinity=dict(options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'}),
    mask=train,
    network=dict(config='../segmentation/deeplabv1_resnet38_voc.py'),
    val_crf=dict(crf='deeplabv1'),
)
