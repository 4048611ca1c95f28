# The network of WSSS-BED on COCO 2014, from saliency-guided labels, started from ImageNet only:
# 50000 steps of 20 images, the rate renewed every 10. The published tables started from masks of
# COCO itself: deeplabv2_r101_bed-coco-init_coco.py. They do not say whether they are with CRF; the
# released script tests without.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/coco14_pseudo.py',
    '../_base_/pipelines/deeplabv2_augment.py',
    '../_base_/schedules/deeplabv2_bed_10k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=81))
train_dataloader = dict(
    batch_size=20,
    dataset=dict(mask_dir='work_dirs/wsss_bed_coco/masks', pipeline={{_base_.deeplab_pipeline}}),
)
optim_wrapper = dict(accumulative_counts=1)
param_scheduler = [dict(type='mmwsss.StepwisePolyLR', interval=10, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=50000, val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000))
auto_scale_lr = dict(base_batch_size=20)
