# 1-Stage on PASCAL VOC 2012, ResNet-101; see one_stage_voc_r50.py.
_base_ = [
    '../_base_/models/one_stage_r101.py',
    '../_base_/datasets/voc12_one_stage.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
