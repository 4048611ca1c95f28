"""PMM: two classifiers, masks by shares, a network with PUF, and the cycle.

A network (``network_0``) learns from the masks of the second classifier's maps with the loss that
takes large losses for noise. Then, round by round, the network of the round before labels the
training images anew (all classes, multi-scale test and CRF), and a fresh one learns from that with
plain cross-entropy. The authors do one round, and take the checkpoint that validated best for it
(``which='best'``: the true masks of val then choose it); here the last one counts.

Pipelines inherit from this file for their data set and name the configs.
"""

seam, scores, cams, masks, cycle = (
    f'work_dirs/{{pipeline}}/{name}'
    for name in ('seam_cams', 'scores', 'cams', 'masks', 'cycle_{round}')
)
mask_dir = 'train_dataloader.dataset.mask_dir'
stages = dict(
    seam=dict(run='train'),
    seam_maps=dict(run='predict', checkpoint='seam', write=dict(cams=seam)),
    seam_seed=dict(run='evaluate', predictions=seam, background='range:0.05:0.20:0.01'),
    rough=dict(run='dense_crf', source=seam, out=scores, scores=24),
    classifier=dict(run='train', options={'train_dataloader.dataset.score_dir': scores}),
    maps=dict(run='predict', checkpoint='classifier', write=dict(cams=cams)),
    seed=dict(run='evaluate', predictions=cams, background='range:0.05:0.20:0.01'),
    ppmg=dict(run='dense_crf', source=cams, out=masks, ppmg=11, threshold=0.05, cv_scale=0.3),
    table=dict(run='mask_table', masks=masks),
    mask=dict(run='evaluate', predictions=masks),
    network_0=dict(run='train', options={mask_dir: masks}),
    val_0=dict(run='test', checkpoint='network_0', tta=True),
    val_crf_0=dict(run='test', checkpoint='network_0', tta=True, crf='deeplabv2'),
    cycle=dict(
        run='repeat',
        times=1,
        stages={
            'relabel_{round}': dict(
                run='predict',
                checkpoint='network_{before}',
                predict='seg',  # 'cam' for the classes in the image labels alone
                which='last',
                tta=True,
                crf='deeplabv2',
                write=dict(masks=cycle),
            ),
            'table_{round}': dict(run='mask_table', masks=cycle),
            'mask_{round}': dict(run='evaluate', predictions=cycle),
            'network_{round}': dict(run='train', options={mask_dir: cycle}),
            'val_{round}': dict(run='test', checkpoint='network_{round}', tta=True),
            'val_crf_{round}': dict(
                run='test', checkpoint='network_{round}', tta=True, crf='deeplabv2'
            ),
        },
    ),
)
