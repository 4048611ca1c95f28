# PSA, stage 1 on PASCAL VOC 2012: ResNet-38d classifier; test.py writes the cams of train_aug.
# Published seeds on VOC train (1464 images, background 0.2): 47.7 mIoU.
_base_ = [
    '../_base_/models/resnet38_cls.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/psa_voc_cam/cams'
)
