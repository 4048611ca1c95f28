# PSA's classifier on ResNet-38d (arXiv 1803.10464): 105.2 M parameters with 20 classes.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(448, 448),
)
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='mmwsss.ResNet38d',
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/resnet38_imagenet.pth',
            hint='docs/cam.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    decode_head=dict(type='mmwsss.CAMHead', in_channels=4096, num_classes=20),
    test_cfg=dict(
        predict='cam',
        scales=(1.0, 0.5, 1.5, 2.0),
        flip=True,
        resize='pil_cubic',
        merge='psa',
        background=0.2,
    ),
)
