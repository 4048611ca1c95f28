# WeCLIP+ with CLIP ViT-B/16 and DINOv2 ViT-S/14; 2.93 M trained parameters with 21 classes.
_base_ = './weclip_vit-b16.py'
model = dict(
    type='mmwsss.WeCLIPPlus',
    # _reg, vitb14, vitl14: set decode_head.dino_channels to 384, 768 or 1024, and for vitl14
    # decode_head.num_blocks to 5
    dino=dict(type='mmwsss.FrozenDINOv2', checkpoint='dinov2_vits14'),
    decode_head=dict(
        _delete_=True,
        type='mmwsss.WeCLIPPlusHead',
        in_channels=768,
        dino_channels=384,
        num_classes=21,
        channels=256,
        num_blocks=3,
        num_heads=8,
        dropout_ratio=0.1,
        affinity_radius=8,
        loss_seg=dict(type='mmwsss.BalancedCrossEntropy'),
        loss_affinity=dict(type='mmwsss.AffinityLoss', loss_weight=0.1),
    ),
    refiner=dict(static_last=None, gated_start=None),  # gated from the first iteration
)

# test.py --tta: the published protocol
tta_cfg = dict(scales=[1.0, 1.5], flip=True)

# --cfg-options model.test_cfg.crf.preset=afa switches the CRF of the published VOC numbers on
