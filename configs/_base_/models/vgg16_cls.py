# PSA's classifier on VGG-16; input BGR minus Caffe's mean, the square root of the maps.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[104.008, 116.669, 122.675],
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
    size=(448, 448),
)
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='mmwsss.VGG16d',
        init_cfg=dict(
            type='mmwsss.StrictPretrained',
            checkpoint='pretrained/vgg16_imagenet.pth',
            hint='docs/cam.md tells how to get and convert the ImageNet weights.',
        ),
    ),
    decode_head=dict(type='mmwsss.CAMHead', in_channels=1024, num_classes=20, power=0.5),
    test_cfg=dict(
        predict='cam',
        scales=(1.0, 0.5, 1.5, 2.0),
        flip=True,
        resize='pil_cubic',
        merge='psa',
        background=0.2,
    ),
)
