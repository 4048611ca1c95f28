# DeepLabV2 on ResNet-101 from CLIP-ES' masks of train_aug: 71.1 mIoU on val as published (ImageNet
# weights; their rate is 2e-4, that of COCO's weights 2.5e-5). Pixels that the CRF is unsure of are
# 255 in the masks and do not count (CGL).
_base_ = './deeplabv2_r101_voc.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_dataloader = dict(dataset=dict(mask_dir='work_dirs/clip_es_voc/masks'))
