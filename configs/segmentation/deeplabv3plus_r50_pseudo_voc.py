# Stock DeepLabV3+ of MMSegmentation on pseudo masks: any network of the library retrains like this.
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py',
    '../_base_/datasets/voc12_pseudo.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=0.01), paramwise_cfg=dict(_delete_=True, custom_keys=dict()))
auto_scale_lr = dict(base_batch_size=16)
