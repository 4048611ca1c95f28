# MCTformer+ on PASCAL VOC 2012: 45 epochs of 330 iterations, images of 448 pixels.
_base_ = [
    '../_base_/models/mctformer-plus.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/mctformer_augment.py',
    '../_base_/schedules/adamw_cosine_mctformer.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.mctformer_pipeline_448}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer-plus_voc_cam/cams'
)
optim_wrapper = dict(optimizer=dict(lr=3.125e-5))
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-5,
        warmup_iters=1650,
        warmup_lr=1e-6,
        interval=330,
        lag=330,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=14850, val_interval=14850)
auto_scale_lr = dict(base_batch_size=32)
