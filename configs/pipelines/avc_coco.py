"""AVC, a reconstruction, on MS COCO 2014. Seeds and masks are not judged: the true masks of train
are not needed."""

_base_ = '../_base_/stages/two_labels.py'
data_root = 'data/coco2014'
stages = dict(
    classifier=dict(config='../wsss/avc_coco_cam.py'),
    seed=None,
    crf=dict(images=f'{data_root}/train2014', task=dict(num_labels=81)),
    affinity=dict(config='../wsss/avc_coco_affinity.py'),
    mask=None,
    network=dict(config='../segmentation/deeplabv1_resnet38_avc_coco.py'),
    val_crf=dict(crf='avc'),
)
