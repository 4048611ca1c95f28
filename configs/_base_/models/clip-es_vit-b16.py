# CLIP-ES with CLIP ViT-B/16 (arXiv 2212.09506): nothing is trained.
data_preprocessor = dict(
    type='mmwsss.AnySizePreProcessor',
    mean=[122.7709383, 116.7460125, 104.09373615],  # CLIP's
    std=[68.5005327, 66.6321579, 70.3231630],
    bgr_to_rgb=True,
)
model = dict(
    type='mmwsss.CLIPES',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='mmwsss.FrozenCLIP', checkpoint='openai'),
    text=dict(type='mmwsss.TextBank', class_names=[], background_names=[]),
    test_cfg=dict(
        predict='cam',
        scales=(1.0,),
        flip=False,
        caa=dict(attn_last=8, box_threshold=0.4),
        power=1.0,
    ),
)

# test.py --tta: maps averaged over scales and mirror images; not part of the published numbers
tta_cfg = dict(scales=[0.75, 1.0, 1.25], flip=True)
