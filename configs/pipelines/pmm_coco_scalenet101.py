"""PMM on MS COCO 2014, PSPNet on scalenet101 at the end: no labelled crops and no cycle."""

_base_ = '../_base_/stages/pmm_coco14.py'
stages = dict(network_0=dict(config='../segmentation/pspnet_scalenet101_puf_coco.py'))
