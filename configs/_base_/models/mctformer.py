# MCTformer V2 (arXiv 2203.02891): DeiT-S with a class token per class and a patch classifier.
_base_ = './imagenet_rgb.py'
model = dict(
    type='mmwsss.MCTformer',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.MultiClassTokenViT',
        num_classes=20,
        img_size=224,
        init_cfg=dict(
            type='mmwsss.DeiTPretrained',
            checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth',
            hint='docs/mctformer.md tells which weights these are.',
        ),
    ),
    decode_head=dict(
        type='mmwsss.ClassTokenHead', in_channels=384, num_classes=20, patch_pool='avg'
    ),
    test_cfg=dict(
        predict='cam',
        maps='refined',
        fusion='product',
        class_layers=3,
        scales=(1.0,),
        flip=True,
        resize='pil_cubic',
        merge='mctformer',
        background=0.39,  # the authors found it with the true masks of VOC train
    ),
)
