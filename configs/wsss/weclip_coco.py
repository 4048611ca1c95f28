# WeCLIP on COCO 2014; published: 46.4 mIoU on val, 47.1 with CRF.
_base_ = [
    '../_base_/models/weclip_vit-b16.py',
    '../_base_/prompts/clip_es_coco14.py',
    '../_base_/datasets/coco14.py',
    '../_base_/schedules/adamw_poly_warmup_30k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=81),
    text={{_base_.texts}},
    refiner=dict(gated_last=10, box_threshold=0.7, gated_start=40000),
)

train_cfg = dict(max_iters=80000, val_interval=10000)
