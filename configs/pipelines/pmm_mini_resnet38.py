"""PMM on the embedded mini data set: from nothing to a network after one cycle, on a CPU in less
than half an hour."""

_base_ = '../_base_/stages/pmm.py'
data_root = 'data/mini'
images = f'{data_root}/JPEGImages'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
stages = dict(
    seam=dict(config='../wsss/pmm_mini_seam.py'),
    seam_seed=dict(train, background='range:0:1:0.01'),
    rough=dict(images=images),
    classifier=dict(config='../wsss/pmm_mini_multi-crop.py'),
    seed=dict(train, background='range:0:1:0.01'),
    ppmg=dict(images=images, ppmg=4),
    table=dict(classes='mini'),
    mask=train,
    network_0=dict(config='../segmentation/pspnet_resnet38_puf_mini.py'),
    cycle=dict(
        stages={
            'relabel_{round}': dict(split='train'),
            'table_{round}': dict(classes='mini'),
            'mask_{round}': train,
            'network_{round}': dict(config='../segmentation/pspnet_resnet38_mini.py'),
        }
    ),
)
