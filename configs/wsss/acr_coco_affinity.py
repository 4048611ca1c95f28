# AffinityNet on ACR's maps of COCO 2014: ours, with the values of acr_voc_affinity.py.
_base_ = './psa_coco_affinity.py'
model = dict(test_cfg=dict(alpha=6, beta=8, logt=6))
train_dataloader = dict(dataset=dict(score_dir='work_dirs/acr_coco_cam/crf'))
test_dataloader = dict(dataset=dict(cam_dir='work_dirs/acr_coco_cam/cams'))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/acr_coco_affinity/masks')
]
