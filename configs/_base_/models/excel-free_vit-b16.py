# ExCEL's maps of the frozen CLIP ViT-B/16 alone (arXiv 2503.20826): nothing is trained.
model = dict(
    type='mmwsss.ExCELFree',
    # ImageNet's mean, not CLIP's: the published numbers are made with it
    data_preprocessor=dict(
        type='mmwsss.AnySizePreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='mmwsss.SurgeryCLIP', checkpoint='openai', num_surgery=5),
    text=dict(type='mmwsss.AttributeTextBank', class_names=[], background_names=[], bank='shipped'),
    refiner=dict(
        type='mmwsss.CLIPAffinityRefiner', static_last=6, gated_last=None, gated_start=None
    ),
    par=dict(type='mmwsss.PAR', dilations=(1, 2, 4, 8, 12, 24), iterations=20),
    test_cfg=dict(predict='cam', side=320),
)
