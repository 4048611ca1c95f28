# Upper bound of deeplabv3plus_r18_clip-es_mini.py: the same training on the true masks.
_base_ = './deeplabv3plus_r18_pseudo_mini.py'
train_dataloader = dict(dataset=dict(mask_dir=None, masks=True))
