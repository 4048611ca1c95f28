"""WeakCLIP behind any masks: {mask_dir} are refined, and a network is trained on the result.

Pipelines inherit from this file for their data set, and say ``after`` and ``mask_dir``.
"""

plain, masks = 'work_dirs/{pipeline}/plain_masks', 'work_dirs/{pipeline}/masks'
seg = dict(run='predict', checkpoint='refine', split='train', predict='seg', tta=True)
stages = dict(
    before=dict(run='evaluate', predictions='{mask_dir}'),
    refine=dict(run='train', options={'train_dataloader.dataset.mask_dir': '{mask_dir}'}),
    refine_val=dict(run='test', checkpoint='refine'),
    plain=dict(seg, write=dict(masks=plain)),
    after=dict(run='evaluate', predictions=plain),
    pseudo=dict(seg, write=dict(masks=masks), crf='weakclip'),
    after_crf=dict(run='evaluate', predictions=masks),
    network=dict(run='train', options={'train_dataloader.dataset.mask_dir': masks}),
    val=dict(run='test', checkpoint='network', tta=True),
    val_crf=dict(run='test', checkpoint='network', tta=True, crf='weakclip_seg'),
)
