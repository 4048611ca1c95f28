"""WeakCLIP on PASCAL VOC 2012, behind PSA; other masks (the published start is MCTformer's, see
docs/weakclip.md) by --mask-dir DIR."""

_base_ = '../_base_/stages/refine_and_retrain.py'
data_root = 'data/VOCdevkit/VOC2012'
after = dict(pipeline='psa_voc', until='mask')
mask_dir = 'work_dirs/psa_voc_affinity/masks'
truth = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='voc12',
)
stages = dict(
    before=truth,
    refine=dict(config='../segmentation/weakclip_vit-b16_voc.py'),
    after=truth,
    pseudo=dict(split='train_aug'),
    after_crf=truth,
    network=dict(config='../segmentation/deeplabv1_resnet38_weakclip_voc.py'),
)
