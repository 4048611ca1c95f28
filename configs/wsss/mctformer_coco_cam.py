# MCTformer V2 on MS COCO 2014: 60 epochs of 1293 iterations. (The official list has 701 images more
# than train2014 has with objects.)
_base_ = [
    '../_base_/models/mctformer.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/pipelines/mctformer_augment.py',
    '../_base_/schedules/adamw_cosine_mctformer.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(num_classes=80), decode_head=dict(num_classes=80))
train_dataloader = dict(batch_size=64, dataset=dict(pipeline={{_base_.mctformer_pipeline}}))
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/mctformer_coco_cam/cams',
    stride=4,  # at the full size the maps take 90 GB
)
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-5,
        warmup_iters=6465,
        warmup_lr=1e-6,
        interval=1293,
        lag=1293,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=77580, val_interval=77580)
