# WeakCLIP as officially trained: CLIP and the adapter have a rate of 0 that the schedule lets rise
# to 1e-6, so that all moves a little, at more time and memory a step.
_base_ = './weakclip_vit-b16_voc.py'
model = dict(backbone=dict(frozen=False))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.0), 'adapter': dict(lr_mult=0.0)})
)
