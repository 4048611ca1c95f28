# ExCEL on the embedded mini data set: learns masks from image labels on a CPU in minutes.
_base_ = [
    '../_base_/models/excel_mini-clip.py',
    '../_base_/prompts/clip_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/adamw_poly_warmup_mini.py',
    '../_base_/default_runtime.py',
]
model = dict(
    text={{_base_.texts}},
    refiner=dict(gated_start=450),
    self_target_start=800,
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
