"""Runs small enough to train in seconds: a stock network with dropout, and mini methods."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmwsss.testing import few_mini_images

CONFIG = """
default_scope = 'mmseg'
dataset = dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.png', seg_map_suffix='.png',
    metainfo=dict(classes=('background', 'thing', 'stuff')))
train_dataloader = dict(
    batch_size={batch_size}, num_workers={workers}, persistent_workers={workers} > 0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dataset, data_prefix=dict(img_path='images', seg_map_path='masks'), pipeline=[
        dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
        dict(type='RandomFlip', prob=0.5), dict(type='RandomCrop', crop_size=(24, 24)),
        dict(type='PackSegInputs')]))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, data_prefix=dict(img_path='images', seg_map_path='masks'), pipeline=[
        dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[110.0] * 3, std=[60.0] * 3,
                           size=(24, 24), test_cfg=dict(size=(32, 32))),
    backbone=dict(type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, num_stages=1,
                  strides=(1,), dilations=(1,), out_indices=(0,),
                  norm_cfg=dict(type='GN', num_groups=2)),
    decode_head=dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1,
                     dropout_ratio=0.3, num_classes=3, norm_cfg=dict(type='GN', num_groups=2)),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='PolyLR', power=0.9, end=30, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=30, val_interval=15)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=10))
custom_hooks = []
log_processor = dict(by_epoch=False)
randomness = dict(seed=3)
work_dir = {work_dir!r}
"""

CONFIGS = Path(__file__).parents[2] / 'configs'
# methods that are tried in two processes, and killed and resumed
TRIED = ('weclip', 'excel', 'weclip_plus', 'weakclip', 'mctformer', 'avc', 'pmm', 'acr')
# where the config of a method is not wsss/METHOD_mini.py, and what it needs for a short run
METHODS = {
    'acr': ('wsss/acr_mini_cam', ''),
    'avc': ('wsss/avc_mini_cam', 'model = dict(consistency=dict(region_start=2))'),
    'pmm': ('wsss/pmm_mini_seam', ''),
    'weakclip': (
        'segmentation/weakclip_mini-clip_mini',
        "train_dataloader['dataset'].update(mask_dir={root!r} + '/SegmentationClass')",
    ),
    'mctformer': (
        'wsss/mctformer_mini_cam',
        'param_scheduler = []  # the first epochs hardly move\n'
        "test_evaluator = [dict(type='mmwsss.WSSSIoUMetric', background_thresholds='0.2,0.4')]",
    ),
}
MINI = """
_base_ = {base!r}
train_dataloader = dict(batch_size=2, dataset=dict(data_root={root!r}))
test_dataloader = dict(dataset=dict(data_root={root!r}, indices=7))
val_dataloader = None
val_evaluator = None
val_cfg = None
train_cfg = dict(max_iters={iterations})
default_hooks = dict(checkpoint=dict(interval={iterations} // 3))
randomness = dict(seed=3)
work_dir = {work_dir!r}
"""


def write_mini_run(folder: Path, iterations: int = 3, method: str = 'weclip') -> Path:
    """Write a config of a shipped mini method: short, without validation, tests 7 images."""
    few_mini_images(folder / 'data', train=8, val=7)
    config = folder / 'mini.py'
    base, more = METHODS.get(method, (f'wsss/{method}_mini', ''))
    config.write_text(
        (MINI + more).format(
            base=str(CONFIGS / f'{base}.py'),
            root=str(folder / 'data'),
            work_dir=str(folder / 'work'),
            iterations=iterations,
        )
    )
    return config


def write_tiny_run(folder: Path, workers: int = 0, batch_size: int = 2) -> Path:
    """Write the images, masks and config of a tiny run into a folder; returns the config file."""
    rng = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (folder / 'data' / kind).mkdir(parents=True, exist_ok=True)
    for i in range(7):
        mask = np.kron(rng.integers(0, 3, (4, 4)), np.ones((8, 8))).astype(np.uint8)
        image = mask[..., None] * 80 + rng.integers(0, 60, (32, 32, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / 'data' / 'images' / f'{i}.png')
        Image.fromarray(mask).save(folder / 'data' / 'masks' / f'{i}.png')
    config = folder / 'tiny.py'
    config.write_text(
        CONFIG.format(
            root=str(folder / 'data'),
            work_dir=str(folder / 'work'),
            workers=workers,
            batch_size=batch_size,
        )
    )
    return config
