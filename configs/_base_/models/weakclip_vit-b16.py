# WeakCLIP with CLIP ViT-B/16 (10.1007/s11263-024-02224-2); 9.9 M trained parameters on VOC.
_base_ = './imagenet_rgb_512.py'
model = dict(
    type='mmwsss.WeakCLIP',
    # ImageNet's mean, not CLIP's: the published numbers are made with it; crops smaller than 512
    # pixels are padded with the mean colour
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.TunableCLIP', checkpoint='openai', frozen=True, grid=32, context_length=13
    ),
    adapter=dict(type='mmwsss.CLIPPyramid', channels=768, patch=16),
    prompts=dict(
        type='mmwsss.ContextPrompts', class_names=[], num_contexts=8, name_tokens=5, width=512
    ),
    co_attention=dict(
        type='mmwsss.CoAttentionDecoder', dim=512, width=256, heads=4, dropout=0.1, decouple=True
    ),
    # 789: 768 channels and a score for each class; init_cfg=None: the official training keeps
    # the defaults of the layers
    neck=dict(
        type='FPN',
        in_channels=[789] * 4,
        out_channels=256,
        num_outs=4,
        init_cfg=None,
    ),
    decode_head=dict(
        type='mmwsss.SeedFPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=256,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_size=(64, 64),
        init_cfg=None,
    ),
    out_indices=(3, 5, 7, 11),
    drop_path=0.1,
    test_cfg=dict(fit=(2048, 512), crop=512, stride=341, merge='prob_mean'),
)

# test.py --tta: the published test
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True)
# CRF of the published masks: --crf weakclip (VOC), --crf deeplabv2 (COCO)
