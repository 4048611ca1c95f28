# PSA, stage 1 on COCO 2014; the authors published nothing for it: VOC's settings, 5 epochs.
_base_ = [
    '../_base_/models/resnet38_cls.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=80))
train_cfg = dict(max_iters=25650, val_interval=25650)

test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/psa_coco_cam/cams',
    stride=4,  # at the full size the maps take 90 GB
)
