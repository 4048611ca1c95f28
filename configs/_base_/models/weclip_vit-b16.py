# WeCLIP with CLIP ViT-B/16 (arXiv 2406.11189); 5.99 M trained parameters with 21 classes.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.WeCLIP',
    # ImageNet's mean, not CLIP's: the published numbers are made with it
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(type='mmwsss.FrozenCLIP', checkpoint='openai'),
    decode_head=dict(
        type='mmwsss.WeCLIPHead',
        in_channels=768,
        num_layers=11,
        num_classes=21,
        channels=256,
        num_blocks=3,
        num_heads=8,
        dropout_ratio=0.1,
        affinity_radius=8,
        loss_seg=dict(type='mmwsss.BalancedCrossEntropy'),
        loss_affinity=dict(type='mmwsss.AffinityLoss', loss_weight=0.1),
    ),
    text=dict(type='mmwsss.TextBank', class_names=[], background_names=[]),
    refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=8, gated_last=6),
    par=dict(type='mmwsss.PAR', dilations=(1, 2, 4, 8, 12, 24), iterations=20),
    test_cfg=dict(predict='seg', long_side=512),
)

# test.py --tta: the published protocol, logits averaged over scales and mirror images
tta_cfg = dict(scales=[1.0, 0.75], flip=True)

# --cfg-options model.test_cfg.crf.iterations=10 switches the CRF of the published numbers on;
# its other parameters are the defaults of mmwsss.ops.dense_crf
