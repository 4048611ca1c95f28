"""MCTformer V1 on the embedded mini data set; the stages behind the maps are those of V2."""

_base_ = './mctformer_mini.py'
stages = dict(classifier=dict(config='../wsss/mctformer-v1_mini_cam.py'))
