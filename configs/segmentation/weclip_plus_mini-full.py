# Upper bound of WeCLIP+ on mini: the same network trained on true masks.
_base_ = ['../wsss/weclip_plus_mini.py', '../_base_/pipelines/true_masks_mini.py']
model = dict(type='mmwsss.WeCLIPPlusSupervised')
train_dataloader = dict(dataset=dict(masks=True, pipeline={{_base_.masks_pipeline}}))
