"""PASCAL VOC 2012 for AffinityNet: the images with the stored maps of the classifier.

Training: train_aug with CRF scores. Validation: CAMs and true masks of train. Test: CAMs of
train_aug.
"""

_base_ = './voc12.py'
cam_store = 'work_dirs/psa_voc_cam/cams'
crf_store = 'work_dirs/psa_voc_cam/crf'

# The image is not resized, and its canvas is black, not the mean colour.
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCRFScores', store=crf_store),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(448, 448)),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseLowHighAlpha', pool=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
val_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(ann_file='ImageSets/Segmentation/train.txt', pipeline=val_pipeline)
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train_aug.txt',
        pipeline=test_pipeline,
    )
)
