# ExCEL without training on COCO 2014. test.py CONFIG (no checkpoint) writes the masks of train.
_base_ = [
    '../_base_/models/excel-free_vit-b16.py',
    '../_base_/prompts/clip_es_coco14.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    refiner=dict(box_threshold=0.88),
)
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=4)
test_evaluator = dict(
    _delete_=True, type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/excel_free_coco/masks'
)
