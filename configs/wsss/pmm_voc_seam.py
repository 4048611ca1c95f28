# PMM on PASCAL VOC 2012, the first classifier, whose maps label the crops of the second one
# (pmm_voc_multi-crop.py): 8 epochs. The authors begin with SEAM's trained model: load_from its
# converted file; ours begins with ImageNet.
_base_ = [
    '../_base_/models/seam_resnet38.py',
    '../_base_/datasets/voc12_cls.py',
    '../_base_/pipelines/pmm_augment.py',
    '../_base_/schedules/sgd_poly_pmm.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=24, dataset=dict(pipeline={{_base_.pmm_pipeline}}))
train_cfg = dict(max_iters=3520, val_interval=3520)
auto_scale_lr = dict(base_batch_size=24)
test_evaluator = dict(
    _delete_=True, type='mmwsss.CAMStoreWriter', output_dir='work_dirs/pmm_voc_seam/cams'
)
