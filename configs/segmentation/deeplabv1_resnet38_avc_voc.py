# AVC's retraining, of which there is official code: DeepLabV1 on ResNet-38 in batches of 5. The
# authors test the checkpoint behind 21 epochs (44436 iterations). Published: 74.6 mIoU on val.
_base_ = './deeplabv1_resnet38_voc.py'
train_dataloader = dict(batch_size=5, dataset=dict(mask_dir='work_dirs/avc_voc_affinity/masks'))
train_cfg = dict(max_iters=45000)
auto_scale_lr = dict(base_batch_size=5)

# test.py --tta: the published test; CRF: --crf avc
tta_cfg = dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=True)
