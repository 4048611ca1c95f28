# AffinityNet of PSA on COCO 2014, ResNet-38: the recipe of VOC, the authors published none. Before:
# psa_coco_cam.py, and the dense CRF on its maps. There is no validation during training: judge the
# masks that test.py writes with tools/analysis_tools/eval_pseudo_labels.py.
_base_ = [
    '../_base_/models/resnet38_aff.py',
    '../_base_/datasets/coco14.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
cam_store = 'work_dirs/psa_coco_cam/cams'
crf_store = 'work_dirs/psa_coco_cam/crf'

model = dict(decode_head=dict(shrink_radius=True))  # for the smallest images

# The image is not resized, and its canvas is black, not the mean colour.
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCRFScores', store=crf_store),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(448, 448)),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseLowHighAlpha', pool=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
val_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='train2014', seg_map_path='semantic_masks/train2014'),
        ann_file='train.txt',
        pipeline=val_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='train2014'),
        ann_file='train.txt',
        pipeline=test_pipeline,
    )
)
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_coco_affinity/masks')
]

max_iters = 82080  # 8 epochs
param_scheduler = [
    dict(
        type='mmwsss.PolyWarmupLR',
        max_iters=max_iters,
        warmup_iters=0,
        power=0.9,
        end=max_iters,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters + 1)
auto_scale_lr = dict(base_batch_size=8)
