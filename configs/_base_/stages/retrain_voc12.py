"""retrain.py on PASCAL VOC 2012: masks of train_aug, judged on train; DeepLabV2 on ResNet-101."""

_base_ = './retrain.py'
data_root = 'data/VOCdevkit/VOC2012'
stages = dict(
    method_val=dict(tta=True),
    pseudo=dict(split='train_aug'),
    mask=dict(
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='voc12',
    ),
    network=dict(config='../segmentation/deeplabv2_r101_voc.py'),
    method_val_crf=dict(tta=True),
)
