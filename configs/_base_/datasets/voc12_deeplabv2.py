"""PASCAL VOC 2012 for retraining with deeplab-pytorch's augmentation."""

_base_ = ['./voc12_pseudo.py', '../pipelines/deeplabv2_augment.py']
train_dataloader = dict(batch_size=5, dataset=dict(pipeline={{_base_.deeplab_pipeline}}))
