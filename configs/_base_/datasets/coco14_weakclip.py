"""MS COCO 2014 for WeakCLIP: train with pseudo masks.

Other masks: --cfg-options train_dataloader.dataset.mask_dir=DIR.
"""

_base_ = ['./coco14.py', '../pipelines/weakclip_augment.py']
train_dataloader = dict(
    batch_size=24,
    dataset=dict(
        label_file=None,
        mask_dir='work_dirs/psa_coco_affinity/masks',
        pipeline={{_base_.weakclip_pipeline}},
    ),
)
