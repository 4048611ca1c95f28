"""WeakCLIP on MS COCO 2014, behind PSA; other masks by --mask-dir DIR. The
masks of train are counted by class, not judged: the true ones are not needed."""

_base_ = '../_base_/stages/refine_and_retrain.py'
data_root = 'data/coco2014'
after = dict(pipeline='psa_coco', until='walk')
mask_dir = 'work_dirs/psa_coco_affinity/masks'
stages = dict(
    before=dict(_delete_=True, run='mask_table', masks='{mask_dir}', classes='coco14'),
    refine=dict(config='../segmentation/weakclip_vit-b16_coco.py'),
    plain=None,
    after=None,
    pseudo=dict(crf='deeplabv2'),
    after_crf=None,
    network=dict(config='../segmentation/deeplabv1_resnet38_weakclip_coco.py'),
    val_crf=dict(crf='deeplabv2'),
)
