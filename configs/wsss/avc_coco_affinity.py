# AffinityNet of AVC (whose maps are a reconstruction) on COCO 2014, of which the authors published
# masks of 48.4 mIoU and no setting: the values are those of VOC.
_base_ = ['./psa_coco_affinity.py', '../_base_/pipelines/affinity_two_labels.py']
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='pretrained/res38_cls.pth',
            prefix='backbone.',
            hint='docs/retraining.md tells how to get and convert the classifier.',
        )
    ),
    test_cfg=dict(
        _delete_=True,
        background=0.42,
        beta=14,
        logt=7,
        label_crf=dict(preset='irn', num_labels=81),
    ),
)
train_dataloader = dict(
    dataset=dict(score_dir='work_dirs/avc_coco_cam/scores', pipeline={{_base_.two_labels_train}})
)
test_dataloader = dict(dataset=dict(cam_dir='work_dirs/avc_coco_cam/cams'))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/avc_coco_affinity/masks')
]
