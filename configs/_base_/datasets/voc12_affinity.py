"""PASCAL VOC 2012 for AffinityNet: the images with the stored maps of the classifier.

Training: train_aug with CRF scores (``score_dir``). Validation: CAMs (``cam_dir``) and true masks
of train. Test: CAMs of train_aug.
"""

_base_ = ['./voc12.py', '../pipelines/affinity.py']
cams = dict(cam_dir='work_dirs/psa_voc_cam/cams', pipeline={{_base_.affinity_test}})
train_dataloader = dict(
    batch_size=8,
    dataset=dict(score_dir='work_dirs/psa_voc_cam/crf', pipeline={{_base_.affinity_train}}),
)
val_dataloader = dict(dataset=dict(split='train', **cams))
test_dataloader = dict(dataset=dict(split='train_aug', masks=False, **cams))
