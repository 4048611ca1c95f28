# Recipe of SEAM, SIPE and others: DeepLabV1 on ResNet-38 from pseudo masks of train_aug. Published
# with SEAM's masks (63.6 mIoU on train): 64.75 on val with test.py --tta and CRF.
_base_ = [
    '../_base_/models/deeplabv1_resnet38.py',
    '../_base_/datasets/voc12_pseudo.py',
    '../_base_/pipelines/deeplabv1_augment.py',
    '../_base_/schedules/deeplabv1_20k.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=10, dataset=dict(pipeline={{_base_.deeplab_pipeline}}))
