# L2G's DeepLabV2 on VGG-16: crops of 448, 30000 steps. The learning rate is deeplab-pytorch's.
_base_ = [
    '../_base_/models/deeplabv2_vgg16.py',
    '../_base_/datasets/voc12_deeplabv2_vgg16.py',
    '../_base_/schedules/deeplabv2_30k.py',
    '../_base_/default_runtime.py',
]
