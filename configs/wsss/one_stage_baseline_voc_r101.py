# CAM baseline of 1-Stage on PASCAL VOC 2012, ResNet-101.
_base_ = './one_stage_baseline_voc_r50.py'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
