"""ExCEL on PASCAL VOC 2012, and a DeepLabV2 on its pseudo masks."""

_base_ = '../_base_/stages/retrain_voc12.py'
stages = dict(method=dict(config='../wsss/excel_voc.py'), method_val_crf=dict(crf='deeplabv2'))
