# Small DeepLabV3+ on CLIP-ES' masks of mini: minutes on two CPU cores.
_base_ = './deeplabv3plus_r18_pseudo_mini.py'
train_dataloader = dict(dataset=dict(mask_dir='work_dirs/clip_es_mini/masks'))
