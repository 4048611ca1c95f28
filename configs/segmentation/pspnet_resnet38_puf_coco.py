# PSPNet on ResNet-38 with PMM's loss on MS COCO 2014. Published: 36.7 mIoU on val (recalled,
# not checked) with 32 images an iteration; with fewer, lower the rate and train longer.
_base_ = [
    '../_base_/models/pspnet_resnet38.py',
    '../_base_/datasets/coco14_weakclip.py',
    '../_base_/schedules/pspnet_20k.py',
    '../_base_/default_runtime.py',
]
puf = dict(_delete_=True, type='mmwsss.PUFCrossEntropyLoss', kind='clamp', beta=0.8, k=0.8)
model = dict(
    decode_head=dict(num_classes=81, loss_decode=puf),
    auxiliary_head=dict(
        num_classes=81, loss_decode=dict(puf, loss_weight=0.4, loss_name='loss_puf_aux')
    ),
)
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type='mmwsss.PolyWarmupLR', warmup_iters=0, power=0.9, min_lr=5e-5, by_epoch=False)
]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
auto_scale_lr = dict(base_batch_size=32)
