"""PMM's last network on the embedded mini data set, trained on true masks: a bound."""

_base_ = '../_base_/stages/bound.py'
data_root = 'data/mini'
stages = dict(
    network=dict(config='../segmentation/pspnet_resnet38_mini-full.py'),
    val=dict(tta=True),
    val_crf=dict(tta=True, crf='deeplabv2'),
)
