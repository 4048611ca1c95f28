"""MCTformer V2 on PASCAL VOC 2012: from image labels to a retrained ResNet-38 (use GPUs)."""

_base_ = '../_base_/stages/walk.py'
data_root = 'data/VOCdevkit/VOC2012'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    classifier=dict(config='../wsss/mctformer_voc_cam.py'),
    seed=dict(background='range:0:0.6:0.01', **train),
    crf=dict(images=f'{data_root}/JPEGImages'),
    affinity=dict(
        config='../wsss/mctformer_voc_affinity.py',
        options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'},
    ),
    mask=train,
    network=dict(config='../segmentation/resnet38_fov2_voc.py'),
)
