# WeakCLIP on MS COCO 2014 as officially trained; see weakclip_vit-b16-unfrozen_voc.py.
_base_ = './weakclip_vit-b16_coco.py'
model = dict(backbone=dict(frozen=False))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.0), 'adapter': dict(lr_mult=0.0)})
)
