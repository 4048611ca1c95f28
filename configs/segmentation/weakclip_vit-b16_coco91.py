# The released COCO network, for its weights: raw category ids are its classes, 91 of them.
_base_ = [
    '../_base_/models/weakclip_vit-b16.py',
    '../_base_/prompts/weakclip_names_coco91.py',
    '../_base_/datasets/coco14_weakclip.py',
    '../_base_/schedules/weakclip_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    class_ids={{_base_.class_ids}},
    prompts=dict(class_names={{_base_.class_names}}),
    neck=dict(in_channels=[859, 859, 859, 859]),
    decode_head=dict(num_classes=91),
)
