# ExCEL on COCO 2014; published: 50.3 mIoU on val with scales and CRF.
_base_ = [
    '../_base_/models/excel_vit-b16.py',
    '../_base_/prompts/clip_es_coco14.py',
    '../_base_/datasets/coco14.py',
    '../_base_/schedules/adamw_poly_warmup_30k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=81),
    text={{_base_.texts}},
    refiner=dict(box_threshold=0.88, gated_start=30000),
    test_cfg=dict(merge_scale=0.2),
)

# the official 1e-4 is multiplied by 10 for all that is trained
optim_wrapper = dict(optimizer=dict(lr=1e-3))
randomness = dict(seed=0)

train_cfg = dict(max_iters=100000, val_interval=10000)
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=200, by_epoch=False)]
