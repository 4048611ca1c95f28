"""MCTformer V2 on the embedded mini data set: from nothing to a retrained network, on a CPU in
minutes."""

_base_ = '../_base_/stages/walk_mini.py'
stages = dict(
    classifier=dict(config='../wsss/mctformer_mini_cam.py'),
    affinity=dict(config='../wsss/mctformer_mini_affinity.py'),
    network=dict(config='../segmentation/resnet38_fov2_mini.py'),
    val_crf=dict(crf='mctformer'),
)
