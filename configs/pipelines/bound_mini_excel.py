"""ExCEL on the embedded mini data set, trained on true masks: a bound."""

_base_ = '../_base_/stages/bound.py'
data_root = 'data/mini'
stages = dict(
    network=dict(config='../segmentation/excel_mini-full.py'), val_crf=dict(crf='deeplabv2')
)
