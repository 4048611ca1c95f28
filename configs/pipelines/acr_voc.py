"""ACR on PASCAL VOC 2012: from image labels to a retrained DeepLabV1 (use GPUs). What follows the
seeds is ours: the authors used the pipeline of another method, RIB, and released none."""

_base_ = '../_base_/stages/walk_voc12.py'
stages = dict(
    classifier=dict(config='../wsss/acr_voc_cam.py'),
    crf=dict(task=dict(low=6, high=24)),
    affinity=dict(config='../wsss/acr_voc_affinity.py'),
)
