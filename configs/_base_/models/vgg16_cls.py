# PSA's classifier on VGG-16; input BGR minus Caffe's mean, the square root of the maps.
_base_ = ['./caffe_bgr.py', '../backbones/vgg16.py']
model = dict(
    type='mmwsss.CAMClassifier',
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        type='mmwsss.VGG16d',
        init_cfg={{_base_.vgg16_init}},
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
