"""MS COCO 2014: train (82081 images) with image labels, val (40137) with masks."""

_base_ = './image_labels.py'
dataset_type = 'mmwsss.COCO14Dataset'
data_root = 'data/coco2014'
train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
