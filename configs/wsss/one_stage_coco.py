# 1-Stage on COCO 2014, ResNet-50. The authors published nothing for it: VOC's settings for 8 epochs
# (5130 iterations each), a quarter of them without the mask loss, as on VOC.
_base_ = [
    '../_base_/models/one_stage_r50.py',
    '../_base_/datasets/coco14.py',
    '../_base_/pipelines/one_stage_augment.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=80), mask_loss_start=10260)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline={{_base_.one_stage_pipeline}}))
train_cfg = dict(max_iters=41040, val_interval=5130)
default_hooks = dict(checkpoint=dict(interval=5130))
tta_cfg = dict(canvas=960)  # images have up to 640 pixels a side
