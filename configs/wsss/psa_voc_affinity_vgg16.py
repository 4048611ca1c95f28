# AffinityNet of PSA on PASCAL VOC 2012, VGG-16; published pseudo masks: 59.6 mIoU on train.
# Before: psa_voc_cam_vgg16.py, and the dense CRF on its maps. As psa_voc_affinity.py otherwise.
_base_ = [
    '../_base_/models/vgg16_aff.py',
    '../_base_/datasets/voc12_affinity.py',
    '../_base_/schedules/sgd_poly_psa_affinity.py',
    '../_base_/default_runtime.py',
]
cams = 'work_dirs/psa_voc_cam_vgg16/cams'
train_dataloader = dict(dataset=dict(score_dir='work_dirs/psa_voc_cam_vgg16/crf'))
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
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
