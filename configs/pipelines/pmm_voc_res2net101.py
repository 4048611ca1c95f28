"""PMM on PASCAL VOC 2012, PSPNet on res2net101 at the end (use GPUs)."""

_base_ = '../_base_/stages/pmm_voc12.py'
stages = dict(
    network_0=dict(config='../segmentation/pspnet_res2net101_puf_voc.py'),
    cycle=dict(
        stages={'network_{round}': dict(config='../segmentation/pspnet_res2net101_voc.py')},
    ),
)
