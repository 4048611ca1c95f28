# 1-Stage (arXiv 2005.08104) on torchvision's ResNet-50 with output stride 16: 41.2 M parameters.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.OneStage',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='ResNet',
        depth=50,
        style='pytorch',
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 1),
        out_indices=(0, 3),
        frozen_stages=0,
        norm_eval=True,
        norm_cfg=dict(type='BN', requires_grad=False),
        init_cfg=dict(type='mmwsss.StrictPretrained', checkpoint='torchvision://resnet50'),
    ),
    decode_head=dict(type='mmwsss.OneStageHead', in_channels=(256, 2048), num_classes=20),
    refiner=dict(type='mmwsss.PAMR'),
    mask_loss_start=3305,  # five epochs
    test_cfg=dict(predict='seg', pad='none', score_threshold=0.3, background_power=3.0),
)

# test.py --tta: the published test; with pad='none' it is faster and gives other numbers
tta_cfg = dict(scales=[1.0, 0.75, 1.25, 1.5], flip=True, pad='fixed', canvas=768)
