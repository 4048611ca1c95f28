# Cams and pseudo masks of the VOC training images (train_aug) by a trained AFA.
_base_ = './afa_voc.py'
model = dict(test_cfg=dict(predict='cam'))
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
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/afa_voc/cams'),
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/afa_voc/masks'),
]
