"""MCTformer V2 on PASCAL VOC 2012: from image labels to a retrained ResNet-38 (use GPUs)."""

_base_ = '../_base_/stages/walk_voc12.py'
stages = dict(
    classifier=dict(config='../wsss/mctformer_voc_cam.py'),
    affinity=dict(config='../wsss/mctformer_voc_affinity.py'),
    network=dict(config='../segmentation/resnet38_fov2_voc.py'),
    val_crf=dict(crf='mctformer'),
)
