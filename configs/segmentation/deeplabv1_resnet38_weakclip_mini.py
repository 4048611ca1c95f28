# Small DeepLabV1 on ResNet-38 from WeakCLIP's masks of mini.
_base_ = './deeplabv1_resnet38_mini.py'
train_dataloader = dict(dataset=dict(mask_dir='work_dirs/weakclip_mini/masks'))
