"""A classifier's maps, dense CRF, AffinityNet, random walk, a network on the masks (MCTformer).

TransCAM's label maps are another task of the stage ``crf``.

Pipelines inherit from this file for their data set and name the configs:
``stages = dict(classifier=dict(config='../wsss/mctformer_voc_cam.py'))``.
"""

cams, scores, masks = (f'work_dirs/{{pipeline}}/{name}' for name in ('cams', 'scores', 'masks'))
stages = dict(
    classifier=dict(run='train'),
    maps=dict(run='predict', checkpoint='classifier', write=dict(cams=cams)),
    seed=dict(run='evaluate', predictions=cams),
    crf=dict(
        run='folder',
        task=dict(type='mmwsss.LowHighFromCAMs', low=1, high=12, crf=dict(preset='psa')),
        source=cams,
        out=scores,
    ),
    affinity=dict(
        run='train',
        options={
            'train_dataloader.dataset.score_dir': scores,
            'test_dataloader.dataset.cam_dir': cams,
        },
    ),
    walk=dict(run='predict', checkpoint='affinity', write=dict(masks=masks)),
    mask=dict(run='evaluate', predictions=masks),
    network=dict(run='train', options={'train_dataloader.dataset.mask_dir': masks}),
    val=dict(run='test', checkpoint='network', tta=True),
    val_crf=dict(run='test', checkpoint='network', tta=True),
)
