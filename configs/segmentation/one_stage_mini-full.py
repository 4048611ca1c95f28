# Upper bound of 1-Stage on mini: the same network trained on true masks.
_base_ = '../wsss/one_stage_mini.py'
model = dict(type='mmwsss.OneStageSupervised')
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.RandomResizedCropPIL', crop_size=112, scale=(0.9, 1.0), fallback='square'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.PackWSSSInputs'),
]
train_dataloader = dict(dataset=dict(masks=True, pipeline=train_pipeline))
