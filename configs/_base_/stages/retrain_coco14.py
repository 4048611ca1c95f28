"""retrain.py on MS COCO 2014, DeepLabV2 on ResNet-101. The masks of train are not judged: the true
ones are not needed."""

_base_ = './retrain.py'
data_root = 'data/coco2014'
stages = dict(
    method_val=dict(tta=True),
    mask=None,
    network=dict(config='../segmentation/deeplabv2_r101_coco.py'),
    method_val_crf=dict(tta=True),
)
