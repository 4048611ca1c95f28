# AffinityNet on the maps of ACR. The authors released nothing behind the maps: alpha 6 and 24 for
# the labels are those of their CRF; 6, 8 and 6 of the walk are SEAM's. The choice is ours.
# Before: acr_voc_cam.py, and the dense CRF on its maps.
_base_ = './psa_voc_affinity.py'
model = dict(test_cfg=dict(alpha=6, beta=8, logt=6))
cams = 'work_dirs/acr_voc_cam/cams'
train_dataloader = dict(dataset=dict(score_dir='work_dirs/acr_voc_cam/crf'))
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/acr_voc_affinity/masks')
]
