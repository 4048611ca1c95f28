# PSA's classifier on ResNet-38d (arXiv 1803.10464): 105.2 M parameters with 20 classes.
_base_ = ['./imagenet_rgb.py', '../backbones/resnet38.py']
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.ResNet38d',
        init_cfg={{_base_.resnet38_init}},
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
