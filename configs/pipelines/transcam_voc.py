"""TransCAM on PASCAL VOC 2012: from image labels to a retrained DeepLabV1 (use GPUs)."""

_base_ = '../_base_/stages/walk_voc12.py'
stages = dict(
    classifier=dict(config='../wsss/transcam_voc_cam.py'),
    seed=dict(background='range:0:1:0.01'),
    crf=dict(
        task=dict(
            _delete_=True,
            type='mmwsss.TwoLabelsFromCAMs',
            backgrounds=(0.6, 0.25),
            num_labels=21,
            crf=dict(preset='irn'),
        )
    ),
    affinity=dict(config='../wsss/transcam_voc_affinity.py'),
)
