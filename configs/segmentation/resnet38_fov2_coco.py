# MCTformer's retraining on COCO 2014, of which the authors released nothing: the recipe of VOC,
# as many iterations.
_base_ = [
    '../_base_/models/resnet38_fov2.py',
    '../_base_/datasets/coco14_pseudo.py',
    '../_base_/pipelines/fov2_augment.py',
    '../_base_/schedules/fov2_79k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=81))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        mask_dir='work_dirs/mctformer_coco_affinity/masks',
        pipeline={{_base_.fov2_pipeline}},
    ),
)
