"""MCTformer V2 on MS COCO 2014. Seeds and masks are not judged: the true masks of train are not
needed."""

_base_ = '../_base_/stages/walk_coco14.py'
stages = dict(
    classifier=dict(config='../wsss/mctformer_coco_cam.py'),
    crf=dict(task=dict(stride=4)),
    affinity=dict(config='../wsss/mctformer_coco_affinity.py'),
    network=dict(config='../segmentation/resnet38_fov2_coco.py'),
    val_crf=dict(crf='mctformer'),
)
