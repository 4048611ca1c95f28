# DeepLabV1-LargeFOV on Caffe's ResNet-101 (L2G).
_base_ = './deeplabv2_r101.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='mmwsss.LargeFOVHead',
        in_channels=2048,
        channels=1024,
        num_classes=21,
        dilations=(12,),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    )
)
