# Pseudo masks of the COCO training images by a trained 1-Stage network with their image labels.
_base_ = './one_stage_coco.py'
model = dict(
    test_cfg=dict(predict='cam', scales=(1.0, 0.75, 1.25, 1.5), flip=True, pad='fixed', canvas=960)
)
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='train2014'),
        ann_file='train.txt',
        pipeline=test_pipeline,
    )
)
test_evaluator = [dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/one_stage_coco/masks')]
