# AffinityNet of AVC (whose maps are a reconstruction): as TransCAM's, but from PSA's classifier, as
# the authors say. Background, beta and length of their walk are unknown: TransCAM's are taken.
_base_ = './transcam_voc_affinity.py'
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='pretrained/res38_cls.pth',
            prefix='backbone.',
            hint='docs/retraining.md tells how to get and convert the classifier.',
        )
    )
)
cams = 'work_dirs/avc_voc_cam/cams'
train_dataloader = dict(dataset=dict(score_dir='work_dirs/avc_voc_cam/scores'))
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/avc_voc_affinity/masks')
]
