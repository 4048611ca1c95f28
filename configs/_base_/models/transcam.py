# TransCAM (arXiv 2203.07239): Conformer-S, classified by both branches.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.TransCAM',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.Conformer',
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/Conformer_small_patch16.pth',
            hint='docs/transcam.md tells where the weights are.',
        ),
    ),
    decode_head=dict(
        type='mmwsss.DualBranchCAMHead', in_channels=1024, embed_dims=384, num_classes=20
    ),
    test_cfg=dict(
        predict='cam',
        maps='refined',
        refine='rows',
        sizes=(256, 512, 768),
        flip=True,
        resize='pil_cubic',
        merge='seam',
        background=0.42,  # that of the random walk
    ),
)
