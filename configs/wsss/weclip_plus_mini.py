# WeCLIP+ on the embedded mini data set: learns masks from image labels on a CPU in minutes.
_base_ = [
    '../_base_/models/weclip-plus_mini.py',
    '../_base_/prompts/clip_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/adamw_poly_warmup_mini.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    refiner=dict(box_threshold=None),
    relabel_start=600,
)
