# CAM baseline of 1-Stage on PASCAL VOC 2012, ResNet-38.
_base_ = './one_stage_baseline_voc_r50.py'
data_preprocessor = dict(size=(321, 321))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmwsss.ResNet38d',
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/resnet38_imagenet.pth',
            hint='docs/cam.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    decode_head=dict(in_channels=4096),
)
train_dataloader = dict(dataset=dict(pipeline={{_base_.one_stage_pipeline_321}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr_mults=(1, 2, 10, 20)))
tta_cfg = dict(scales=[1.0, 0.5, 1.5, 2.0])
