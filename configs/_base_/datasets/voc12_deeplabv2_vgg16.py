"""PASCAL VOC 2012 for retraining with L2G's augmentation for VGG-16."""

_base_ = ['./voc12_pseudo.py', '../pipelines/deeplabv2_vgg16_augment.py']
train_dataloader = dict(batch_size=5, dataset=dict(pipeline={{_base_.deeplab_pipeline}}))
