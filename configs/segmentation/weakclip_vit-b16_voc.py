# WeakCLIP on PASCAL VOC 2012, from PSA's masks of train_aug; as published (MCTformer's masks, 16
# images an iteration): 77.2 mIoU of its masks with CRF, 74.0 on val after retraining.
_base_ = [
    '../_base_/models/weakclip_vit-b16.py',
    '../_base_/prompts/weakclip_names_voc12.py',
    '../_base_/datasets/voc12_weakclip.py',
    '../_base_/schedules/weakclip_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(prompts=dict(class_names={{_base_.class_names}}))
sync_bn = 'torch'  # with several GPUs
