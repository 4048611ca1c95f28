# PSPNet on ResNet-38; all norms are trained.
_base_ = ['./pspnet.py', '../backbones/resnet38.py']
model = dict(
    backbone=dict(
        type='mmwsss.ResNet38d',
        out_indices=(0, 1, 2, 3),
        dropout=(0.3, 0.5),
        frozen_stages=-1,
        norm_eval=False,
        norm_frozen=False,
        init_cfg={{_base_.resnet38_init}},
    ),
    decode_head=dict(in_channels=4096),
)
