# CLIP-ES on MS COCO 2014. test.py CONFIG (no checkpoint) writes the maps of train.
_base_ = [
    '../_base_/models/clip-es_vit-b16.py',
    '../_base_/prompts/clip_es_coco14.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    test_cfg=dict(caa=dict(box_threshold=0.7)),
)
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=4)
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/clip_es_coco/cams',
    stride=4,  # at the full size the maps take 90 GB
)
