# ACR on MS COCO 2014. The authors released nothing for it: VOC's settings and ten epochs are ours,
# as is the hidden share, which grows by a percent with every fortieth of the training.
_base_ = [
    '../_base_/models/acr_resnet38.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/pipelines/acr_augment.py',
    '../_base_/schedules/sgd_poly_acr.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=80), erase_growth_iters=2565)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.acr_pipeline}}))
train_cfg = dict(max_iters=102600, val_interval=102600)
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/acr_coco_cam/cams',
    stride=4,  # at the full size the maps take 90 GB
)
