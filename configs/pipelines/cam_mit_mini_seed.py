"""Plain CAM of AFA's small encoder on mini: classifier, and maps of the training images."""

_base_ = '../_base_/stages/seed_mini.py'
stages = dict(classifier=dict(config='../wsss/cam_mit_mini.py'))
