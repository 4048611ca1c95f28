# ExCEL with CLIP ViT-B/16 (arXiv 2503.20826); 6.31 M trained parameters with 21 classes.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],  # ImageNet, not CLIP: the published numbers are made with it
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(320, 320),
)
model = dict(
    type='mmwsss.ExCEL',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='mmwsss.SurgeryCLIP', checkpoint='openai', num_surgery=5),
    decode_head=dict(
        type='mmwsss.WeCLIPHead',
        in_channels=768,
        num_layers=12,
        num_classes=21,
        channels=256,
        num_blocks=3,
        num_heads=8,
        dropout_ratio=0.1,
        affinity='centred',
        affinity_radius=8,
        loss_seg=dict(type='mmwsss.BalancedCrossEntropy'),
        loss_affinity=dict(type='mmwsss.AffinityLoss', loss_weight=0.1),
    ),
    text=dict(type='mmwsss.AttributeTextBank', class_names=[], background_names=[], bank=None),
    refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=6, gated_last=6),
    par=dict(type='mmwsss.PAR', dilations=(1, 2, 4, 8, 12, 24), iterations=20),
    test_cfg=dict(predict='seg', sizes=(320,), side=320),
)

# test.py --tta: the published protocol, logits averaged over sizes and mirror images
tta_cfg = dict(sizes=[320, 224, 384, 480], flip=True)

# --cfg-options model.test_cfg.crf.preset=deeplabv2 switches the CRF of the published numbers on
