# AffinityNet of PSA on COCO 2014, ResNet-38: the recipe of VOC, the authors published none. Before:
# psa_coco_cam.py, and the dense CRF on its maps. There is no validation during training: judge the
# masks that test.py writes with tools/analysis_tools/eval_pseudo_labels.py.
_base_ = [
    '../_base_/models/resnet38_aff.py',
    '../_base_/datasets/coco14.py',
    '../_base_/pipelines/affinity.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(shrink_radius=True))  # for the smallest images

train_dataloader = dict(
    batch_size=8,
    dataset=dict(score_dir='work_dirs/psa_coco_cam/crf', pipeline={{_base_.affinity_train}}),
)
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = dict(
    dataset=dict(
        split='train',
        masks=False,
        cam_dir='work_dirs/psa_coco_cam/cams',
        pipeline={{_base_.affinity_test}},
    )
)
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_coco_affinity/masks')
]

train_cfg = dict(max_iters=82080)  # 8 epochs
auto_scale_lr = dict(base_batch_size=8)
