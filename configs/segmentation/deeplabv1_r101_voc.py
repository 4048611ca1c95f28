# L2G's DeepLabV1-LargeFOV on ResNet-101: deeplabv2_r101_voc.py with one field of view.
_base_ = [
    '../_base_/models/deeplabv1_r101.py',
    '../_base_/datasets/voc12_deeplabv2.py',
    '../_base_/schedules/deeplabv2_20k.py',
    '../_base_/default_runtime.py',
]
