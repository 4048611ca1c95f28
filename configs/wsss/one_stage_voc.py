# 1-Stage on PASCAL VOC 2012, ResNet-38; published: 59.7 mIoU on val, 62.7 with CRF (test.py --tta).
_base_ = [
    '../_base_/models/one_stage_resnet38.py',
    '../_base_/datasets/voc12.py',
    '../_base_/pipelines/one_stage_augment.py',
    '../_base_/schedules/sgd_constant_one_stage.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline={{_base_.one_stage_pipeline_321}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr_mults=(1, 2, 10, 20)))
train_cfg = dict(max_iters=16525)  # 25 epochs
