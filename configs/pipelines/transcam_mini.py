"""TransCAM on the embedded mini data set: from nothing to a retrained network, on a CPU in
minutes. At the end the maps that the attention has not spread are judged, too."""

_base_ = '../_base_/stages/walk_mini.py'
plain_cams = 'work_dirs/{pipeline}/plain_cams'
data_root = 'data/mini'
stages = dict(
    classifier=dict(config='../wsss/transcam_mini_cam.py'),
    crf=dict(
        task=dict(
            _delete_=True,
            type='mmwsss.TwoLabelsFromCAMs',
            backgrounds=(0.6, 0.25),
            num_labels=11,
            crf=dict(preset='irn'),
        )
    ),
    affinity=dict(config='../wsss/transcam_mini_affinity.py'),
    plain_maps=dict(
        run='predict',
        checkpoint='classifier',
        options={'model.test_cfg.maps': 'plain'},
        write=dict(cams=plain_cams),
    ),
    plain_seed=dict(
        run='evaluate',
        predictions=plain_cams,
        truth=f'{data_root}/SegmentationClass',
        split=f'{data_root}/ImageSets/Segmentation/train.txt',
        classes='mini',
    ),
)
