# WeCLIP+ on PASCAL VOC 2012; published: 83.9 mIoU on test with scales and CRF.
_base_ = [
    '../_base_/models/weclip-plus_vit-b16_dinov2-s14.py',
    '../_base_/prompts/clip_es_voc12.py',
    '../_base_/datasets/voc12.py',
    '../_base_/schedules/adamw_poly_warmup_30k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    refiner=dict(gated_last=6, box_threshold=None),
    cam_source=-2,
    relabel_start=18001,
)

# the official 2e-5 is multiplied by 10 for all that is trained
optim_wrapper = dict(optimizer=dict(lr=2e-4))
