# ExCEL with CLIP ViT-B/16 (arXiv 2503.20826); 6.31 M trained parameters with 21 classes.
_base_ = ['./excel-free_vit-b16.py', './imagenet_rgb.py']
model = dict(
    type='mmwsss.ExCEL',
    data_preprocessor={{_base_.data_preprocessor}},
    refiner=dict(gated_last=6),
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
    test_cfg=dict(predict='seg', sizes=(320,)),
)

# test.py --tta: the published protocol, logits averaged over sizes and mirror images
tta_cfg = dict(sizes=[320, 224, 384, 480], flip=True)

# --cfg-options model.test_cfg.crf.preset=deeplabv2 switches the CRF of the published numbers on
