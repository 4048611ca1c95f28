"""ACR on PASCAL VOC 2012: from image labels to a retrained DeepLabV1 (use GPUs). What follows the
seeds is ours: the authors used the pipeline of another method, RIB, and released none."""

_base_ = '../_base_/stages/walk.py'
data_root = 'data/VOCdevkit/VOC2012'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    classifier=dict(config='../wsss/acr_voc_cam.py'),
    seed=dict(background='range:0:0.6:0.01', **train),
    crf=dict(images=f'{data_root}/JPEGImages', low_high=(6, 24)),
    affinity=dict(
        config='../wsss/acr_voc_affinity.py',
        options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'},
    ),
    mask=train,
    network=dict(config='../segmentation/deeplabv1_resnet38_voc.py'),
    val_crf=dict(crf='deeplabv1'),
)
