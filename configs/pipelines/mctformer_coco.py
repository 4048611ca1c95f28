"""MCTformer V2 on MS COCO 2014. Seeds and masks are not judged: the true masks of train are not
needed."""

_base_ = '../_base_/stages/walk.py'
data_root = 'data/coco2014'
stages = dict(
    classifier=dict(config='../wsss/mctformer_coco_cam.py'),
    seed=None,
    crf=dict(images=f'{data_root}/train2014', stride=4),
    affinity=dict(config='../wsss/mctformer_coco_affinity.py'),
    mask=None,
    network=dict(config='../segmentation/resnet38_fov2_coco.py'),
)
