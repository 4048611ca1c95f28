# pmm_voc_multi-crop.py on ResNet-38. Published maps: 56.21 mIoU (53.93 if only the test has crops).
_base_ = [
    '../_base_/models/seam_resnet38_multi-crop.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/pmm_augment.py',
    '../_base_/schedules/sgd_poly_pmm.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(score_dir='work_dirs/pmm_voc_seam/scores', pipeline={{_base_.pmm_crop_pipeline}}),
)
train_cfg = dict(max_iters=13220, val_interval=13220)
val_evaluator = dict(background_thresholds='range:0.05:0.20:0.01')
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/pmm_voc_multi-crop_resnet38/cams',
)
