# ACR on PASCAL VOC 2012, ResNet-38d: the classifier and its reconstructor; test.py writes the maps
# of train_aug. Published seeds on VOC train: 60.3 mIoU (paper), 59.9 (released weights), at the
# best background score of the official sweep, 0.15 to 0.34.
_base_ = [
    '../_base_/models/acr_resnet38.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/acr_augment.py',
    '../_base_/schedules/sgd_poly_acr.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.acr_pipeline}}))
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/acr_voc_cam/cams'
)
