# AffinityNet of psa_mini_affinity.py, with its values, on the maps of ACR. Before: acr_mini_cam.py,
# and the dense CRF on its maps.
_base_ = './psa_mini_affinity.py'
cams = 'work_dirs/acr_mini_cam/cams'
train_dataloader = dict(dataset=dict(score_dir='work_dirs/acr_mini_cam/crf'))
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/acr_mini_affinity/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]
