# AffinityNet of psa_mini_affinity.py on the maps of MCTformer. Before: mctformer_mini_cam.py, and
# the dense CRF on its maps.
_base_ = './psa_mini_affinity.py'
model = dict(test_cfg=dict(_delete_=True, background=0.39, beta=16, logt=3))
cams = 'work_dirs/mctformer_mini_cam/cams'
train_dataloader = dict(dataset=dict(score_dir='work_dirs/mctformer_mini_cam/crf'))
val_dataloader = dict(dataset=dict(cam_dir=cams))
test_dataloader = dict(dataset=dict(cam_dir=cams))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/mctformer_mini_affinity/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]
