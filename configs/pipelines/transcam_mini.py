"""TransCAM on the embedded mini data set: from nothing to a retrained network, on a CPU in
minutes. At the end the maps that the attention has not spread are judged, too."""

_base_ = '../_base_/stages/two_labels.py'
data_root = 'data/mini'
train = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
plain_cams = 'work_dirs/{pipeline}/plain_cams'
stages = dict(
    classifier=dict(config='../wsss/transcam_mini_cam.py'),
    seed=train,
    crf=dict(images=f'{data_root}/JPEGImages', task=dict(num_labels=11)),
    affinity=dict(
        config='../wsss/transcam_mini_affinity.py',
        options={'val_dataloader.dataset.cam_dir': 'work_dirs/{pipeline}/cams'},
    ),
    mask=train,
    network=dict(config='../segmentation/deeplabv1_resnet38_mini.py'),
    val=dict(tta=False),
    val_crf=dict(tta=False, crf='deeplabv1'),
    plain_maps=dict(
        run='predict',
        checkpoint='classifier',
        options={'model.test_cfg.maps': 'plain'},
        write=dict(cams=plain_cams),
    ),
    plain_seed=dict(train, run='evaluate', predictions=plain_cams),
)
