# PSPNet on Res2Net-101 v1b; all norms are trained.
_base_ = ['./pspnet.py', '../backbones/res2net101.py']
model = dict(
    backbone=dict(type='mmwsss.Res2NetV1b', depth=101, init_cfg={{_base_.res2net101_init}})
)
