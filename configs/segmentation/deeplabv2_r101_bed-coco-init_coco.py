# deeplabv2_r101_bed_coco.py from a network trained on COCO's *masks*, as in the published tables of
# WSSS-BED: the masks of the very task, to be compared with those tables alone.
_base_ = './deeplabv2_r101_bed_coco.py'
model = dict(
    backbone=dict(init_cfg=dict(checkpoint='pretrained/deeplab_resnet101_coco.pth')),
)
