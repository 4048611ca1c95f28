# AFA with MiT-B1 (arXiv 2203.02664), stride 16.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.AFA',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.MixVisionTransformerAttn',
        embed_dims=64,
        num_layers=(2, 2, 2, 2),
        num_heads=(1, 2, 5, 8),
        strides=(4, 2, 2, 1),
        drop_path_rate=0.1,
        num_attn_blocks=2,
        norm_frozen=True,
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/mit_b1.pth',
            hint='docs/afa.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    cam_head=dict(
        type='mmwsss.CAMHead',
        in_channels=512,
        num_classes=20,
        pool='max',
        dropout_ratio=0.0,
        init_cfg=None,
    ),
    affinity_head=dict(
        type='mmwsss.AttentionAffinityHead',
        in_channels=16,
        radius=8,
        loss_affinity=dict(type='mmwsss.AffinityLoss', loss_weight=1.0),
    ),
    decode_head=dict(
        type='mmwsss.SegformerMLPHead',
        in_channels=[64, 128, 320, 512],
        in_index=[0, 1, 2, 3],
        channels=256,
        num_classes=21,
        dropout_ratio=0.1,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='mmwsss.BalancedCrossEntropy', loss_name='loss_seg'),
    ),
    par=dict(type='mmwsss.PAR', dilations=(1, 2, 4, 8, 12, 24), iterations=10, resize='masks'),
    cam_scales=(1.0, 0.5, 1.5),
    high=0.55,
    low=0.35,
    test_cfg=dict(predict='seg', long_side=512),
)

# test.py --tta: the published protocol, logits averaged over mirror images, maximum over scales
tta_cfg = dict(scales=[1.0, 0.5, 0.75], flip=True)
