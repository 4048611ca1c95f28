"""AVC, a reconstruction, on the embedded mini data set; behind the maps as TransCAM."""

_base_ = './transcam_mini.py'
stages = dict(classifier=dict(config='../wsss/avc_mini_cam.py'))
