# WeakCLIP on MS COCO 2014 as officially trained; see weakclip-unfrozen_voc.py.
_base_ = './weakclip_coco.py'
model = dict(backbone=dict(frozen=False))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.0), 'adapter': dict(lr_mult=0.0)})
)
