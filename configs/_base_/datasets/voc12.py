"""PASCAL VOC 2012: train_aug (10582 images) with image labels, val (1449) with masks."""

_base_ = './image_labels.py'
dataset_type = 'mmwsss.VOC12Dataset'
data_root = 'data/VOCdevkit/VOC2012'
train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, split='train_aug'))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
