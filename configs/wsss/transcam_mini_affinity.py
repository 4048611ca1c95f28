# AffinityNet of psa_mini_affinity.py on two label maps of TransCAM's maps. Before:
# transcam_mini_cam.py, and the label maps.
_base_ = './psa_mini_affinity.py'
model = dict(
    test_cfg=dict(
        _delete_=True,
        background=0.42,
        beta=16,
        logt=3,
        label_crf=dict(preset='irn', num_labels=11),
    )
)
cams = 'work_dirs/transcam_mini_cam/cams'
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadTwoLabels'),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(112, 112), pad_label=255),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseTwoLabels', stride=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
train_dataloader = dict(
    dataset=dict(score_dir='work_dirs/transcam_mini_cam/scores', pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/transcam_mini_affinity/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]
