# 1-Stage on PASCAL VOC 2012, ResNet-50. The authors judge it with the true image labels of val
# (docs/one_stage.md); here it decides on the classes itself.
_base_ = [
    '../_base_/models/one_stage_r50.py',
    '../_base_/datasets/voc12_one_stage.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
