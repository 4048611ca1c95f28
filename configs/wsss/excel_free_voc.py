# ExCEL without training on PASCAL VOC 2012; published seeds on train: 74.6 mIoU. test.py CONFIG (no
# checkpoint) writes the masks of train_aug.
_base_ = [
    '../_base_/models/excel-free_vit-b16.py',
    '../_base_/prompts/clip_es_voc12.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    refiner=dict(box_threshold=0.79),
)
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=4)
test_evaluator = dict(
    _delete_=True, type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/excel_free_voc/masks'
)
