# Upper bound of weakclip_mini-clip_mini.py: the same training on the true masks.
_base_ = './weakclip_mini-clip_mini.py'
train_dataloader = dict(dataset=dict(mask_dir=None, masks=True))
