"""The mini data set for retraining: train with pseudo masks, val with true masks.

Other masks: --cfg-options train_dataloader.dataset.mask_dir=DIR.
"""

_base_ = './mini.py'
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.RandomScaleCV2', scale_range=(0.75, 1.5), rule='size'),
    dict(type='RandomCrop', crop_size=(112, 112), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(
    batch_size=10,
    dataset=dict(
        label_file=None, mask_dir='work_dirs/psa_mini_affinity/masks', pipeline=train_pipeline
    ),
)
