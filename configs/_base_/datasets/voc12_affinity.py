"""PASCAL VOC 2012 for AffinityNet: the images with the stored maps of the classifier.

Training: train_aug with CRF scores (``score_dir``). Validation: CAMs (``cam_dir``) and true masks
of train. Test: CAMs of train_aug.
"""

_base_ = ['./voc12.py', '../pipelines/affinity.py']

train_dataloader = dict(
    batch_size=8,
    dataset=dict(score_dir='work_dirs/psa_voc_cam/crf', pipeline={{_base_.affinity_train}}),
)
val_dataloader = dict(
    dataset=dict(
        ann_file='ImageSets/Segmentation/train.txt',
        cam_dir='work_dirs/psa_voc_cam/cams',
        pipeline={{_base_.affinity_val}},
    )
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='JPEGImages'),
        ann_file='ImageSets/Segmentation/train_aug.txt',
        cam_dir='work_dirs/psa_voc_cam/cams',
        pipeline={{_base_.affinity_test}},
    )
)
