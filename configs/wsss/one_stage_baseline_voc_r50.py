# CAM baseline of 1-Stage on PASCAL VOC 2012, ResNet-50: 7 epochs with the classification loss.
_base_ = [
    '../_base_/models/one_stage_baseline_r50.py',
    '../_base_/datasets/voc12_one_stage.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
train_cfg = dict(max_iters=4627)
