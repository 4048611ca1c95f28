"""A single-stage method, its pseudo masks of the training images, and a network trained on them.

Pipelines inherit from this file for their data set and name the method:
``stages = dict(method=dict(config=...))``.
"""

masks = 'work_dirs/{pipeline}/masks'
stages = dict(
    method=dict(run='train'),
    method_val=dict(run='test', checkpoint='method'),
    method_val_crf=dict(run='test', checkpoint='method', crf='afa'),
    pseudo=dict(run='predict', checkpoint='method', split='train', write=dict(masks=masks)),
    mask=dict(run='evaluate', predictions=masks),
    network=dict(run='train', options={'train_dataloader.dataset.mask_dir': masks}),
    val=dict(run='test', checkpoint='network'),
    val_crf=dict(run='test', checkpoint='network', crf='deeplabv2'),
)
