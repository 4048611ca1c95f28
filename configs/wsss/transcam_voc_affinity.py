# AffinityNet on the maps of TransCAM: labels from two backgrounds, 0.6 and 0.25, ImageNet's weights
# to begin with, a background of 0.42 in the walk, and the masks refined as hard labels. Before:
# transcam_voc_cam.py, and the two label maps of its maps.
_base_ = [
    '../_base_/models/resnet38_aff.py',
    '../_base_/datasets/voc12_affinity.py',
    '../_base_/pipelines/affinity_two_labels.py',
    '../_base_/schedules/sgd_poly_psa_affinity.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(shrink_radius=True),
    test_cfg=dict(
        _delete_=True,
        background=0.42,
        beta=14,
        logt=7,
        label_crf=dict(preset='irn', num_labels=21),
    ),
)
cams = 'work_dirs/transcam_voc_cam/cams'
train_dataloader = dict(
    dataset=dict(
        score_dir='work_dirs/transcam_voc_cam/scores', pipeline={{_base_.two_labels_train}}
    )
)
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/transcam_voc_affinity/masks')
]
