# ExCEL's maps of the frozen CLIP alone: nothing is trained.
_base_ = './excel_vit-b16.py'
data_preprocessor = dict(
    _delete_=True,
    type='mmwsss.AnySizePreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
model = dict(
    data_preprocessor=data_preprocessor,
    decode_head=None,
    test_cfg=dict(predict='cam', training_free=True),
)
tta_cfg = None
