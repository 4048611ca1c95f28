"""1-Stage on MS COCO 2014, and a DeepLabV2 on its pseudo masks."""

_base_ = '../_base_/stages/retrain_coco14.py'
# masks of several views, as in the published test
stages = dict(
    method=dict(config='../wsss/one_stage_coco.py'),
    pseudo=dict(tta=True),
    method_val_crf=dict(crf='psa'),
)
