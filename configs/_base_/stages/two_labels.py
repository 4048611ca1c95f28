"""walk.py with two label maps under constant backgrounds in the place of scores (TransCAM)."""

_base_ = './walk.py'
stages = dict(
    crf=dict(
        _delete_=True,
        run='folder',
        task=dict(
            type='mmwsss.TwoLabelsFromCAMs',
            backgrounds=(0.6, 0.25),
            num_labels=21,
            crf=dict(preset='irn'),
        ),
        source='work_dirs/{pipeline}/cams',
        out='work_dirs/{pipeline}/scores',
    ),
)
