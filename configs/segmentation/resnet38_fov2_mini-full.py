# Upper bound of resnet38_fov2_mini.py: the same training on the true masks.
_base_ = './resnet38_fov2_mini.py'
train_dataloader = dict(dataset=dict(mask_dir=None, masks=True))
