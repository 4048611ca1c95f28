"""ACR on MS COCO 2014, all of it ours: the authors released nothing for it. Seeds and masks are not
judged: the true masks of train are not needed."""

_base_ = '../_base_/stages/walk.py'
data_root = 'data/coco2014'
stages = dict(
    classifier=dict(config='../wsss/acr_coco_cam.py'),
    seed=None,
    crf=dict(images=f'{data_root}/train2014', stride=4, low_high=(6, 24)),
    affinity=dict(config='../wsss/acr_coco_affinity.py'),
    mask=None,
    network=dict(config='../segmentation/deeplabv2_r101_coco.py'),
    val=dict(tta=False),
    val_crf=dict(tta=False, crf='deeplabv2'),
)
