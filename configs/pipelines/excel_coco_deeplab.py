"""ExCEL on MS COCO 2014, and a DeepLabV2 on its pseudo masks."""

_base_ = '../_base_/stages/retrain_coco14.py'
stages = dict(method=dict(config='../wsss/excel_coco.py'), method_val_crf=dict(crf='deeplabv2'))
