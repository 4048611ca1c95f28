"""MCTformer+ on PASCAL VOC 2012; the stages behind the maps are those of V2."""

_base_ = './mctformer_voc.py'
stages = dict(classifier=dict(config='../wsss/mctformer-plus_voc_cam.py'))
