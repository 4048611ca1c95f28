"""ACR on the embedded mini data set: from nothing to a retrained network, on a CPU in minutes."""

_base_ = '../_base_/stages/walk_mini.py'
stages = dict(
    classifier=dict(config='../wsss/acr_mini_cam.py'),
    affinity=dict(config='../wsss/acr_mini_affinity.py'),
)
