# PMM on mini, the second classifier: the same network on labelled crops, tested by 15 crops and
# their mirror images.
_base_ = './pmm_mini_seam.py'
model = dict(test_cfg=dict(scales=(0.75, 1.0, 1.5, 2.0), crop=112, stride=75, batch=32))
train_cfg = dict(max_iters=250, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=250))
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadRoughScores'),
    dict(type='mmwsss.RandomMultiCrop', scales=(0.75, 1.0, 1.5, 2.0), crop=112, stride=75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='Resize', scale=(112, 112), keep_ratio=False, backend='pillow'),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(
    dataset=dict(score_dir='work_dirs/pmm_mini_seam/scores', pipeline=train_pipeline)
)
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/pmm_mini_multi-crop/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
