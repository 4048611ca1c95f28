# AVC on PASCAL VOC 2012, a reconstruction: TransCAM with a loss on its affinity vectors. What the
# authors published without code, seeds of 75.8 mIoU on VOC train, is not claimed for it.
_base_ = [
    '../_base_/models/avc.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/transcam_augment.py',
    '../_base_/schedules/adamw_constant_transcam.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.transcam_pipeline}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/avc_voc_cam/cams'
)
