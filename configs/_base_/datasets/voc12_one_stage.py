"""PASCAL VOC 2012 with 1-Stage's augmentation."""

_base_ = ['./voc12.py', '../pipelines/one_stage_augment.py']
train_dataloader = dict(batch_size=16, dataset=dict(pipeline={{_base_.one_stage_pipeline}}))
