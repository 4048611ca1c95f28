"""PASCAL VOC 2012 for WeakCLIP: train_aug with pseudo masks.

Other masks: --cfg-options train_dataloader.dataset.mask_dir=DIR.
"""

_base_ = ['./voc12.py', '../pipelines/weakclip_augment.py']
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        label_file=None,
        mask_dir='work_dirs/psa_voc_affinity/masks',
        pipeline={{_base_.weakclip_pipeline}},
    ),
)
