"""TransCAM on PASCAL VOC 2012: from image labels to a retrained DeepLabV1 (use GPUs)."""

_base_ = '../_base_/stages/two_labels.py'
data_root = 'data/VOCdevkit/VOC2012'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    classifier=dict(config='../wsss/transcam_voc_cam.py'),
    seed=train,
    crf=dict(images=f'{data_root}/JPEGImages'),
    affinity=dict(
        config='../wsss/transcam_voc_affinity.py',
        options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'},
    ),
    mask=train,
    network=dict(config='../segmentation/deeplabv1_resnet38_voc.py'),
    val_crf=dict(crf='deeplabv1'),
)
