# CLIP-ES on PASCAL VOC 2012; published seeds on train: 70.8 mIoU (58.6 without affinity), 75.0 with
# CRF. test.py CONFIG (no checkpoint) writes the maps of train_aug.
_base_ = [
    '../_base_/models/clip-es_vit-b16.py',
    '../_base_/prompts/clip_es_voc12.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(text={{_base_.texts}})
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=4)
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/clip_es_voc/cams'
)
