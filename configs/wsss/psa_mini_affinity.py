# AffinityNet on the embedded mini data set, with a narrow ResNet-38. Before: psa_mini_cam.py, and
# the dense CRF on its maps. test.py writes the masks of the training images and judges them.
_base_ = [
    '../_base_/models/resnet38_aff.py',
    '../_base_/backbones/resnet38_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/pipelines/affinity.py',
    '../_base_/schedules/sgd_poly_psa.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone={{_base_.resnet38_mini}},
    decode_head=dict(in_channels=(64, 128, 512), channels=(32, 64, 128), radius=4),
    test_cfg=dict(alpha=2, beta=16, logt=3),
)

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.LoadCRFScores'),
    dict(type='mmwsss.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    dict(type='mmwsss.RandomPadCropScores', crop_size=(112, 112)),
    dict(type='mmwsss.RandomFlipScores', prob=0.5),
    dict(type='mmwsss.FuseLowHighAlpha', pool=8),
    dict(type='mmwsss.PackAffinityInputs'),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(score_dir='work_dirs/psa_mini_cam/crf', pipeline=train_pipeline),
)
val_dataloader = dict(
    dataset=dict(
        split='train',
        cam_dir='work_dirs/psa_mini_cam/cams',
        pipeline={{_base_.affinity_test}},
    )
)
test_dataloader = val_dataloader
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/psa_mini_affinity/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]

optim_wrapper = dict(optimizer=dict(lr=0.03, momentum=0.9))
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=300))
auto_scale_lr = dict(base_batch_size=8)
