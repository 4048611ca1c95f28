# PSPNet on ScaleNet-101; all norms are trained.
_base_ = ['./pspnet.py', '../backbones/scalenet101.py']
model = dict(backbone=dict(type='mmwsss.ScaleNet', init_cfg={{_base_.scalenet101_init}}))
