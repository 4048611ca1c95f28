"""No labels at all, on the embedded mini data set: CLIP-ES with image labels that CLIP predicts.

Nothing is trained, so that val is segmented in the same way as train.
"""

data_root = 'data/mini'
root = 'work_dirs/{pipeline}'
judge = dict(run='evaluate', truth=f'{data_root}/SegmentationClass', classes='mini')
train = dict(judge, split=f'{data_root}/ImageSets/Segmentation/train.txt')
val = dict(judge, split=f'{data_root}/ImageSets/Segmentation/val.txt')
predict = dict(
    run='predict',
    config='../wsss/clip_es_mini.py',
    options={
        'model.test_cfg.label_threshold': 0.1,
        'test_dataloader.dataset.label_file': None,
    },
)
# as of clip_es_mini_deeplab.py
crf = dict(
    run='dense_crf',
    images=f'{data_root}/JPEGImages',
    power=3,
    preset='deeplabv2',
    image='wrapped',
)

stages = dict(
    maps=dict(predict, split='train', write=dict(cams=f'{root}/cams')),
    seed=dict(train, predictions=f'{root}/cams'),
    crf=dict(crf, source=f'{root}/cams', out=f'{root}/masks'),
    mask=dict(train, predictions=f'{root}/masks'),
    segment=dict(
        predict, split='val', write=dict(cams=f'{root}/val_cams', masks=f'{root}/val_masks')
    ),
    val=dict(val, predictions=f'{root}/val_masks'),
    segment_crf=dict(crf, source=f'{root}/val_cams', out=f'{root}/val_masks_crf'),
    val_crf=dict(val, predictions=f'{root}/val_masks_crf'),
)
