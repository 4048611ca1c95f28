# DeepLabV2 on ResNet-101 from pseudo masks of COCO 2014, settings of LPCAM: 100000 steps of twice
# 10 images. Published with CLIP-ES' masks: 45.4 mIoU on val.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/coco14_pseudo.py',
    '../_base_/pipelines/deeplabv2_augment.py',
    '../_base_/schedules/deeplabv2_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=81))
train_dataloader = dict(batch_size=10, dataset=dict(pipeline={{_base_.deeplab_pipeline}}))

optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(max_iters=200000, val_interval=20000)
default_hooks = dict(checkpoint=dict(interval=20000))
auto_scale_lr = dict(base_batch_size=20)
