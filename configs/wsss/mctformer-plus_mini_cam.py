# MCTformer+ on mini, with images of the same size as V2: its 196 cells, not 784, are pooled with a
# decay that falls as far.
_base_ = './mctformer_mini_cam.py'
model = dict(
    backbone=dict(positions='split'),
    decode_head=dict(patch_pool='rank', decay=0.984, contrast_weight=1.0, contrast_layers=6),
    test_cfg=dict(fusion='sqrt', class_layers=6, scales=(1.0, 0.75, 1.25)),
)
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer-plus_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
