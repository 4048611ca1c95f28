# Upper bound of WeCLIP on mini: the same decoder on the same frozen CLIP, trained on true masks.
_base_ = ['../wsss/weclip_mini.py', '../_base_/pipelines/true_masks_mini.py']
model = dict(
    _delete_=True,
    type='mmwsss.CLIPSegmentor',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    decode_head={{_base_.model.decode_head}},
)
train_dataloader = dict(dataset=dict(masks=True, pipeline={{_base_.masks_pipeline}}))
