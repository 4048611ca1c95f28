"""APC on the embedded mini data set: the classifier, and its maps of the training images."""

_base_ = '../_base_/stages/seed_mini.py'
stages = dict(classifier=dict(config='../wsss/apc_mini.py'))
