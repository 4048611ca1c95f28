# Cams and pseudo masks of the mini training images by a trained WeCLIP.
_base_ = './weclip_mini.py'
model = dict(test_cfg=dict(predict='cam'))
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=test_pipeline,
    )
)
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/weclip_mini/cams'),
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/weclip_mini/masks'),
]
