# AVC on MS COCO 2014, a reconstruction: the recipe of VOC for 5 epochs, the terms of regions from a
# tenth of them on. The authors published seeds of 45.8 mIoU and no setting.
_base_ = [
    '../_base_/models/avc.py',
    '../_base_/datasets/coco14_cls.py',
    '../_base_/pipelines/transcam_augment.py',
    '../_base_/schedules/adamw_constant_transcam.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=80), consistency=dict(region_start=5130))
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.transcam_pipeline}}))
test_evaluator = dict(
    _delete_=True,
    type='mmwsss.CAMStoreWriter',
    output_dir='work_dirs/avc_coco_cam/cams',
    stride=4,  # at the full size the maps take 90 GB
)
train_cfg = dict(max_iters=51300, val_interval=51300)
