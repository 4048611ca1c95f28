# DeepLabV1-LargeFOV on VGG-16 with multi-scale training (L2G).
_base_ = ['./deeplabv1_r101.py', '../backbones/vgg16.py']
data_preprocessor = dict(size=(448, 448))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmwsss.VGG16d',
        fc6_dilation=None,
        out_indices=(2,),  # behind pool5
        frozen_stages=0,
        init_cfg={{_base_.vgg16_init}},
    ),
    decode_head=dict(in_channels=512),
)
# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=l2g
