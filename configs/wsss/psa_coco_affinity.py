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
cams = 'work_dirs/psa_coco_cam/cams'

model = dict(decode_head=dict(shrink_radius=True))  # for the smallest images

train_dataloader = dict(
    batch_size=8,
    dataset=dict(score_dir='work_dirs/psa_coco_cam/crf', pipeline={{_base_.affinity_train}}),
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='train2014', seg_map_path='semantic_masks/train2014'),
        ann_file='train.txt',
        cam_dir=cams,
        pipeline={{_base_.affinity_val}},
    )
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='train2014'),
        ann_file='train.txt',
        cam_dir=cams,
        pipeline={{_base_.affinity_test}},
    )
)
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_coco_affinity/masks')
]

max_iters = 82080  # 8 epochs
train_cfg = dict(max_iters=max_iters, val_interval=max_iters + 1)
auto_scale_lr = dict(base_batch_size=8)
