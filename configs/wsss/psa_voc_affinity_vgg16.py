# AffinityNet of PSA on PASCAL VOC 2012, VGG-16; published pseudo masks: 59.6 mIoU on train.
# Before: psa_voc_cam_vgg16.py, and the dense CRF on its maps. As psa_voc_affinity.py otherwise.
_base_ = [
    '../_base_/models/vgg16_aff.py',
    '../_base_/datasets/voc12_affinity.py',
    '../_base_/schedules/sgd_poly_psa_affinity.py',
    '../_base_/default_runtime.py',
]
cam_store = 'work_dirs/psa_voc_cam_vgg16/cams'
crf_store = 'work_dirs/psa_voc_cam_vgg16/crf'

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCRFScores', store=crf_store),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(448, 448)),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseLowHighAlpha', pool=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
val_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCAM', store=cam_store),
    dict(type='mmwsss.PackAffinityInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_voc_affinity_vgg16/masks')
]
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    # The official groups count the group norms among the pretrained layers.
    paramwise_cfg=dict(
        custom_keys={
            'decode_head.gn8': dict(lr_mult=1),
            'decode_head.gn8_3.bias': dict(lr_mult=2, decay_mult=0),
            'decode_head.gn8_4.bias': dict(lr_mult=2, decay_mult=0),
            'decode_head.gn8_5.bias': dict(lr_mult=2, decay_mult=0),
        }
    ),
)
