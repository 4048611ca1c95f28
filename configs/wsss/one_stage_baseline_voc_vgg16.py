# CAM baseline of 1-Stage on PASCAL VOC 2012, VGG-16.
_base_ = './one_stage_baseline_voc_r50.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsss.VGG16d',
        frozen_stages=1,
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/vgg16_imagenet.pth',
            hint='docs/cam.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    decode_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr_mults=(1, 2, 10, 20)))
