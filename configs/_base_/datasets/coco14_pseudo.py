"""MS COCO 2014 for retraining: train with pseudo masks, val with true masks.

Other masks: --cfg-options train_dataloader.dataset.mask_dir=DIR.
"""

_base_ = ['./coco14.py', '../pipelines/mmseg_augment.py']
train_dataloader = dict(
    batch_size=10,
    dataset=dict(
        label_file=None,
        mask_dir='work_dirs/psa_coco_affinity/masks',
        pipeline={{_base_.mmseg_pipeline}},
    ),
)
