# All-pairs consistency (APC) on mini, with MCTformer's small encoder and recipe. Loss and maps are
# the published ones, the network is not: it has no case of the official code. The rule of the maps
# is GETAM's own, over all six layers (docs/apc.md).
_base_ = './mctformer_mini_cam.py'
model = dict(
    type='mmwsss.APC',
    backbone=dict(num_classes=1),
    decode_head=dict(
        _delete_=True, type='mmwsss.ClassTokenLinearHead', in_channels=96, num_classes=10
    ),
    consistency=dict(type='mmwsss.AttentionViewLoss', class_weight=125.0, pair_weight=125.0),
    test_cfg=dict(
        _delete_=True,
        predict='cam',
        maps='refined',
        start_layer=0,
        rule='cam_grad_s',
        flip=True,
        resize='pil_cubic',
        merge='mctformer',
        background=0.4,
    ),
)
train_dataloader = dict(batch_size=8)
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/apc_mini/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
