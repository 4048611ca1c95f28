# ExCEL on PASCAL VOC 2012; published: 75.6 mIoU on val at one scale, 78.4 with scales and CRF.
_base_ = [
    '../_base_/models/excel_vit-b16.py',
    '../_base_/prompts/clip_es_voc12.py',
    '../_base_/datasets/voc12.py',
    '../_base_/schedules/adamw_poly_warmup_30k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=21),
    text={{_base_.texts}},
    refiner=dict(box_threshold=0.79, gated_start=14000),
    self_target_start=24000,
)

# the official 1e-4 is multiplied by 10 for all that is trained
optim_wrapper = dict(optimizer=dict(lr=1e-3))
randomness = dict(seed=0)
