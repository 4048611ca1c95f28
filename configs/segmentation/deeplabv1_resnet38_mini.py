# DeepLabV1 on the small ResNet-38 of psa_mini_cam.py, from the pseudo masks of
# psa_mini_affinity.py: minutes on two CPU cores.
_base_ = [
    '../_base_/models/deeplabv1_resnet38.py',
    '../_base_/datasets/mini_pseudo.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
# images smaller than the crop are padded to it
data_preprocessor = dict(size=(112, 112), size_divisor=None)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        base_channels=8,
        dropout=(0.0, 0.0),
        norm_frozen=False,
        bn_momentum=0.1,
        init_cfg=dict(checkpoint='mmwsss://mini_resnet38', hint='Shipped with the package.'),
    ),
    decode_head=dict(
        in_channels=512,
        channels=64,
        num_classes=11,
        dilations=(4,),
        norm_cfg=dict(type='BN', requires_grad=True, momentum=0.1),
        # most pixels are background: without the balance the short training learns little else
        loss_decode=dict(_delete_=True, type='mmwsss.BalancedCrossEntropy'),
    ),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(_delete_=True, custom_keys=dict()),
)
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=50, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=400, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=400))
auto_scale_lr = dict(base_batch_size=8)

# test.py --tta
tta_cfg = dict(scales=[0.75, 1.0, 1.25, 1.5], flip=True)
