# AVC's retraining on COCO 2014, of which the authors published 47.2 mIoU on val and no setting: the
# recipe of VOC, as many iterations as WeakCLIP's.
_base_ = [
    '../_base_/models/deeplabv1_resnet38.py',
    '../_base_/datasets/coco14_pseudo.py',
    '../_base_/pipelines/deeplabv1_augment.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=81))
train_dataloader = dict(
    batch_size=5,
    dataset=dict(
        mask_dir='work_dirs/avc_coco_affinity/masks', pipeline={{_base_.deeplab_pipeline}}
    ),
)
train_cfg = dict(max_iters=160000)
auto_scale_lr = dict(base_batch_size=5)

# test.py --tta; CRF: --crf avc
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=True)
