"""WeakCLIP on the embedded mini data set, behind PSA; other masks by --mask-dir DIR."""

_base_ = '../_base_/stages/refine_and_retrain.py'
data_root = 'data/mini'
after = dict(pipeline='psa_mini', until='mask')
mask_dir = 'work_dirs/psa_mini_affinity/masks'
truth = dict(
    truth=f'{data_root}/SegmentationClass',
    split=f'{data_root}/ImageSets/Segmentation/train.txt',
    classes='mini',
)
stages = dict(
    before=truth,
    refine=dict(config='../segmentation/weakclip_mini-clip_mini.py'),
    after=truth,
    after_crf=truth,
    network=dict(config='../segmentation/deeplabv1_resnet38_weakclip_mini.py'),
    val=dict(tta=False),
    val_crf=dict(tta=False, crf='deeplabv1'),
)
