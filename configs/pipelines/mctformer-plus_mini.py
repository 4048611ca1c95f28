"""MCTformer+ on the embedded mini data set; the stages behind the maps are those of V2."""

_base_ = './mctformer_mini.py'
stages = dict(classifier=dict(config='../wsss/mctformer-plus_mini_cam.py'))
