# Upper bound of WeCLIP on mini: the same decoder on the same frozen CLIP, trained on true masks.
_base_ = '../wsss/weclip_mini.py'
model = dict(
    _delete_=True,
    type='mmwsss.CLIPSegmentor',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    decode_head={{_base_.model.decode_head}},
)
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScalePIL', scale_range=(0.75, 1.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.RandomPadCrop', crop_size=(112, 112), pad_val=0),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(dataset=dict(masks=True, pipeline=train_pipeline))
