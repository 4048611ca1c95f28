# WeakCLIP on the mini CLIP (6 blocks of width 128, patch 8): same parts, smaller numbers.
_base_ = './weakclip_vit-b16.py'
model = dict(
    data_preprocessor=dict(size=(112, 112)),
    backbone=dict(checkpoint='mini', grid=None),
    adapter=dict(channels=128, patch=8),
    prompts=dict(width=32),
    co_attention=dict(dim=128, width=64),
    neck=dict(in_channels=[139] * 4, out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=64, num_classes=11, loss_size=(28, 28)),
    out_indices=(1, 2, 3, 5),
    test_cfg=dict(fit=None, crop=112, stride=75),
)

# test.py --tta
tta_cfg = dict(scales=[0.75, 1.0, 1.25, 1.5], flip=True)
