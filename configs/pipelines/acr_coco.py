"""ACR on MS COCO 2014, all of it ours: the authors released nothing for it. Seeds and masks are not
judged: the true masks of train are not needed."""

_base_ = '../_base_/stages/walk_coco14.py'
stages = dict(
    classifier=dict(config='../wsss/acr_coco_cam.py'),
    crf=dict(task=dict(low=6, high=24, stride=4)),
    affinity=dict(config='../wsss/acr_coco_affinity.py'),
    network=dict(config='../segmentation/deeplabv2_r101_coco.py'),
    val=dict(tta=False),
    val_crf=dict(tta=False, crf='deeplabv2'),
)
