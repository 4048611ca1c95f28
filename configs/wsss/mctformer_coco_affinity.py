# AffinityNet on MCTformer's maps of COCO 2014. The authors released nothing behind the seeds: the
# values are those of VOC, the background of the walk among them, which was found with VOC's masks.
_base_ = './psa_coco_affinity.py'
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='pretrained/res38_cls.pth',
            prefix='backbone.',
            hint='docs/retraining.md tells how to get and convert the classifier.',
        )
    ),
    test_cfg=dict(_delete_=True, background=0.39, beta=8, logt=6),
)
train_dataloader = dict(dataset=dict(score_dir='work_dirs/mctformer_coco_cam/crf'))
test_dataloader = dict(dataset=dict(cam_dir='work_dirs/mctformer_coco_cam/cams'))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/mctformer_coco_affinity/masks')
]
train_cfg = dict(max_iters=51300)  # 5 epochs
