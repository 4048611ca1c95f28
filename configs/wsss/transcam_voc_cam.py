# TransCAM on PASCAL VOC 2012: the classifier; test.py writes the maps of train_aug. Published on
# VOC train (1464 images): seeds 64.9 mIoU, which the authors say varies by 2 between random seeds.
# The last checkpoint counts.
_base_ = [
    '../_base_/models/transcam.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/transcam_augment.py',
    '../_base_/schedules/adamw_constant_transcam.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.transcam_pipeline}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/transcam_voc_cam/cams'
)
