# Pseudo masks of the VOC training images (train_aug) by a trained 1-Stage network with their image
# labels.
_base_ = './one_stage_voc.py'
model = dict(
    test_cfg=dict(predict='cam', scales=(1.0, 0.5, 1.5, 2.0), flip=True, pad='fixed', canvas=1024)
)
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train_aug.txt',
        pipeline=test_pipeline,
    )
)
test_evaluator = [dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/one_stage_voc/masks')]
