# Plain CAM of MCTformer's small encoder on mini: the baseline of mctformer_mini_cam.py.
_base_ = './mctformer_mini_cam.py'
model = dict(
    type='mmwsss.CAMClassifier',
    backbone=dict(num_classes=1),
    decode_head=dict(
        _delete_=True, type='mmwsss.CAMHead', in_channels=96, num_classes=10, dropout_ratio=0.0
    ),
    test_cfg=dict(
        _delete_=True, predict='cam', flip=True, resize='pil_cubic', merge='psa', background=0.2
    ),
)
test_evaluator = [
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
