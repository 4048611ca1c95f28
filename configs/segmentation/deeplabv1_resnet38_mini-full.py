# Upper bound of deeplabv1_resnet38_mini.py: the same training on the true masks.
_base_ = './deeplabv1_resnet38_mini.py'
train_dataloader = dict(dataset=dict(mask_dir=None, masks=True))
