# WeakCLIP on the mini CLIP (6 blocks of width 128, patch 8): same parts, smaller numbers.
_base_ = './imagenet_rgb.py'
num_classes = 11
data_preprocessor = dict(size=(112, 112), size_divisor=None)
model = dict(
    type='mmwsss.WeakCLIP',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='mmwsss.TunableCLIP', checkpoint='mini', context_length=13),
    adapter=dict(type='mmwsss.CLIPPyramid', channels=128, patch=8),
    prompts=dict(
        type='mmwsss.ContextPrompts', class_names=[], num_contexts=8, name_tokens=5, width=32
    ),
    co_attention=dict(
        type='mmwsss.CoAttentionDecoder', dim=128, width=64, heads=4, dropout=0.1, decouple=True
    ),
    neck=dict(
        type='FPN', in_channels=[128 + num_classes] * 4, out_channels=64, num_outs=4, init_cfg=None
    ),
    decode_head=dict(
        type='mmwsss.SeedFPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=64,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_size=(28, 28),
        init_cfg=None,
    ),
    out_indices=(1, 2, 3, 5),
    drop_path=0.1,
    test_cfg=dict(crop=112, stride=75, merge='prob_mean'),
)

# test.py --tta
tta_cfg = dict(scales=[0.75, 1.0, 1.25, 1.5], flip=True)
