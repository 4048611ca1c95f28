"""1-Stage on PASCAL VOC 2012, and a DeepLabV2 on its pseudo masks."""

_base_ = '../_base_/stages/retrain_voc12.py'
# masks of several views, as in the published test
stages = dict(
    method=dict(config='../wsss/one_stage_voc.py'),
    pseudo=dict(tta=True),
    method_val_crf=dict(crf='psa'),
)
