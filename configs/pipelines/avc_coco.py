"""AVC, a reconstruction, on MS COCO 2014. Seeds and masks are not judged: the true masks of train
are not needed."""

_base_ = '../_base_/stages/walk_coco14.py'
stages = dict(
    classifier=dict(config='../wsss/avc_coco_cam.py'),
    crf=dict(
        task=dict(
            _delete_=True,
            type='mmwsss.TwoLabelsFromCAMs',
            backgrounds=(0.6, 0.25),
            num_labels=81,
            crf=dict(preset='irn'),
        )
    ),
    affinity=dict(config='../wsss/avc_coco_affinity.py'),
    network=dict(config='../segmentation/deeplabv1_resnet38_avc_coco.py'),
    val_crf=dict(crf='avc'),
)
