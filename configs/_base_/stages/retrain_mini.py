"""retrain.py on the embedded mini data set, a small DeepLabV1 on ResNet-38: minutes on a CPU."""

_base_ = './retrain.py'
data_root = 'data/mini'
stages = dict(
    mask=dict(
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='mini',
    ),
    network=dict(config='../segmentation/deeplabv1_resnet38_mini.py'),
    val_crf=dict(crf='deeplabv1'),
)
