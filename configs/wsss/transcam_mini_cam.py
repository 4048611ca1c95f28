# TransCAM on mini: a Conformer of 0.8 M parameters that starts from the shipped weights, which take
# the place of ImageNet's (docs/mini.md). test.py writes the maps of the training images and judges
# them as seeds.
_base_ = [
    '../_base_/models/transcam.py',
    '../_base_/backbones/conformer_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/adamw_constant_transcam.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.conformer_mini}},
    decode_head=dict(in_channels=128, embed_dims=96, num_classes=10),
    test_cfg=dict(sizes=(96, 112, 144)),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=300))
val_evaluator = dict(background_thresholds='range:0:1:0.01')
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/transcam_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
