# WeCLIP on PASCAL VOC 2012; published: 74.9 mIoU on val, 76.4 with CRF.
_base_ = [
    '../_base_/models/weclip_vit-b16.py',
    '../_base_/prompts/clip_es_voc12.py',
    '../_base_/datasets/voc12.py',
    '../_base_/schedules/adamw_poly_warmup_30k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=21),
    text={{_base_.texts}},
    # As written. The released code reaches the gated phase after 9144 iterations, because its
    # counter also counts validation images: gated_start=9144 repeats that.
    refiner=dict(gated_last=6, box_threshold=0.4, gated_start=15000),
)
