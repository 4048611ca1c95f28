# 1-Stage on torchvision's ResNet-101 with output stride 16.
_base_ = './one_stage_r50.py'
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')),
)
