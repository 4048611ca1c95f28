# deeplabv2_r101_bed_voc.py from a network trained on COCO's *masks*, as in the published tables of
# WSSS-BED: no longer weakly supervised, to be compared with those tables alone.
_base_ = './deeplabv2_r101_bed_voc.py'
model = dict(
    backbone=dict(init_cfg=dict(checkpoint='pretrained/deeplab_resnet101_coco.pth')),
)
