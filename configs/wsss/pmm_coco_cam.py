# PMM on MS COCO 2014: one classifier, trained on whole images, 20 epochs of batches of 8; only its
# test sees crops. 80 classes, where the official code has the 90 raw category ids.
_base_ = [
    '../_base_/models/seam_scalenet101.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/pipelines/pmm_augment.py',
    '../_base_/schedules/sgd_poly_pmm.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=80))
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.pmm_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=0.01))
train_cfg = dict(max_iters=205200, val_interval=205200)
auto_scale_lr = dict(base_batch_size=8)
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/pmm_coco_cam/cams',
    stride=4,  # at the full size the maps take 90 GB
)
