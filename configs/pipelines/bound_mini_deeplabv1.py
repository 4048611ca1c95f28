"""DeepLabV1 (ResNet-38) on the embedded mini data set, trained on true masks: a bound."""

_base_ = '../_base_/stages/bound.py'
data_root = 'data/mini'
stages = dict(
    network=dict(config='../segmentation/deeplabv1_resnet38_mini-full.py'),
    val_crf=dict(crf='deeplabv1'),
)
