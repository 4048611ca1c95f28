# Recipe of AdvCAM, CLIP-ES, L2G and others: DeepLabV2 on ResNet-101 from pseudo masks of train_aug,
# initialised from ImageNet. Initialised from COCO's *masks* the figures are 2 to 3 mIoU higher and
# no longer weakly supervised: never mix the two in a table (docs/retraining.md).
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/voc12_deeplabv2.py',
    '../_base_/schedules/deeplabv2_20k.py',
    '../_base_/default_runtime.py',
]
