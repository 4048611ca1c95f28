"""pmm.py on PASCAL VOC 2012; masks of train_aug, judged on train."""

_base_ = './pmm.py'
data_root = 'data/VOCdevkit/VOC2012'
images = f'{data_root}/JPEGImages'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    seam=dict(config='../wsss/pmm_voc_seam.py'),
    seam_seed=dict(convention='pmm', **train),
    rough=dict(images=images),
    classifier=dict(config='../wsss/pmm_voc_multi-crop.py'),
    seed=dict(convention='pmm', **train),
    ppmg=dict(images=images),
    table=dict(classes='voc12'),
    mask=train,
    cycle=dict(
        stages={
            'relabel_{round}': dict(split='train_aug'),
            'table_{round}': dict(classes='voc12'),
            'mask_{round}': train,
        }
    ),
)
