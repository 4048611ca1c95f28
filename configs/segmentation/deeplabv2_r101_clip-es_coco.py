# DeepLabV2 on ResNet-101 from CLIP-ES' masks of COCO 2014: 45.4 mIoU on val as published.
_base_ = './deeplabv2_r101_coco.py'
train_dataloader = dict(dataset=dict(mask_dir='work_dirs/clip_es_coco/masks'))
