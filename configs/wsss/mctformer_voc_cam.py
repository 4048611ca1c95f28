# MCTformer V2 on PASCAL VOC 2012: the classifier; test.py writes the maps of train_aug. Published
# on VOC train (1464 images): seeds 61.7, masks behind AffinityNet 69.1 mIoU. The last checkpoint
# counts.
_base_ = [
    '../_base_/models/mctformer.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/mctformer_augment.py',
    '../_base_/schedules/adamw_cosine_mctformer.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline={{_base_.mctformer_pipeline}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer_voc_cam/cams'
)
