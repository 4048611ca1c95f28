# Upper bound of AFA on mini: the same encoder and decoder, trained on true masks.
_base_ = ['../wsss/afa_mini.py', '../_base_/pipelines/true_masks_mini.py']
model = dict(
    _delete_=True,
    type='EncoderDecoder',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    decode_head={{_base_.model.decode_head}},
    test_cfg=dict(mode='whole'),
)
train_dataloader = dict(dataset=dict(masks=True, pipeline={{_base_.masks_pipeline}}))
