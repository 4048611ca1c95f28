"""walk.py on the embedded mini data set, a small DeepLabV1 on ResNet-38: minutes on a CPU."""

_base_ = './walk.py'
data_root = 'data/mini'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
stages = dict(
    seed=train,
    crf=dict(images=f'{data_root}/JPEGImages', task=dict(high=4)),
    affinity=dict(options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'}),
    mask=train,
    network=dict(config='../segmentation/deeplabv1_resnet38_mini.py'),
    val=dict(tta=False),
    val_crf=dict(tta=False, crf='deeplabv1'),
)
