# WeakCLIP's retraining on MS COCO 2014: 46.1 mIoU on val as published.
_base_ = [
    '../_base_/models/deeplabv1_resnet38.py',
    '../_base_/datasets/coco14_pseudo.py',
    '../_base_/pipelines/deeplabv1_augment.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(frozen_stages=0),
    decode_head=dict(num_classes=81),
    test_cfg=dict(crf_classes='present'),
)
train_dataloader = dict(
    batch_size=10,
    dataset=dict(mask_dir='work_dirs/weakclip_coco/masks', pipeline={{_base_.deeplab_pipeline}}),
)
optim_wrapper = dict(
    optimizer=dict(lr=1.5e-3),
    constructor='mmwsss.FourGroupOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, new='decode_head', lr_mults=(1, 2, 10, 20)),
)
train_cfg = dict(max_iters=160000)

# test.py --tta: the published test; CRF: --crf deeplabv2
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=True)
