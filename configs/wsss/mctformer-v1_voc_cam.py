# MCTformer V1 on PASCAL VOC 2012: class tokens alone; published seeds on VOC train: 55.2 mIoU, 47.2
# without the affinity of the patches (test_cfg.maps='plain').
_base_ = [
    '../_base_/models/mctformer-v1.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/mctformer_augment.py',
    '../_base_/schedules/adamw_cosine_mctformer.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline={{_base_.mctformer_pipeline}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer-v1_voc_cam/cams'
)
