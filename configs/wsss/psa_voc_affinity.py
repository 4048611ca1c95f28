# AffinityNet of PSA on PASCAL VOC 2012, ResNet-38; published pseudo masks: 61.0 mIoU on train
# (alpha 4 and 32 for the labels, 16 for the walk). Before: psa_voc_cam.py, and the dense CRF on its
# maps. Training judges the masks of train (1464 images) once, at its end; test.py writes those of
# train_aug. Variants (SEAM, MCTformer): docs/psa.md.
_base_ = [
    '../_base_/models/resnet38_aff.py',
    '../_base_/datasets/voc12_affinity.py',
    '../_base_/schedules/sgd_poly_psa_affinity.py',
    '../_base_/default_runtime.py',
]
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_voc_affinity/masks')
]
