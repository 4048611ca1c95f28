"""ExCEL on the embedded mini data set, and a small DeepLabV1 on its pseudo masks."""

_base_ = '../_base_/stages/retrain_mini.py'
stages = dict(method=dict(config='../wsss/excel_mini.py'), method_val_crf=dict(crf='deeplabv2'))
