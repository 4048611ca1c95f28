# 1-Stage on PASCAL VOC 2012, VGG-16; see one_stage_voc_r50.py.
_base_ = [
    '../_base_/models/one_stage_vgg16.py',
    '../_base_/datasets/voc12_one_stage.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr_mults=(1, 2, 10, 20)))
train_cfg = dict(max_iters=21813)  # 33 epochs
