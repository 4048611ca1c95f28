"""RandAugment and erasing."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image
from timm.data import create_transform

from mmwsss.datasets.transforms import PackWSSSInputs, RandAugment, RandomErasingNoise
from mmwsss.datasets.transforms.rand_augment import _augment
from mmwsss.registry import MODELS
from mmwsss.utils.seed import seed_everything

NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def image(height=96, width=96):
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(
        np.uint8
    )


def test_settings_are_those_of_timms_training():
    """The operations that timm's recipe for ImageNet makes, with the numbers of MCTformer."""
    recipe = create_transform(
        96,
        is_training=True,
        color_jitter=0.4,
        auto_augment='rand-m9-mstd0.5-inc1',
        interpolation='bicubic',
        re_prob=0.25,
        re_mode='pixel',
        re_count=1,
    )
    theirs = next(t for t in recipe.transforms if type(t).__name__ == 'RandAugment')
    ours = _augment('rand-m9-mstd0.5-inc1', (124, 116, 104), int(96 * 0.45))
    assert (ours.num_layers, ours.choice_weights) == (theirs.num_layers, theirs.choice_weights)
    for a, b in zip(ours.ops, theirs.ops, strict=True):
        assert (a.name, a.prob, a.magnitude, a.magnitude_std) == (b.name, 0.5, 9, 0.5)
        hparams = dict(a.hparams)
        assert hparams.pop('interpolation', None) == b.hparams.get('interpolation')
        assert all(b.hparams[key] == value for key, value in hparams.items())
        assert a.kwargs == b.kwargs
    theirs = recipe.transforms[-1]
    ours = RandomErasingNoise(0.25).erase
    keys = 'probability', 'min_area', 'max_area', 'log_aspect_ratio', 'per_pixel', 'max_count'
    assert [getattr(ours, key) for key in keys] == [getattr(theirs, key) for key in keys]


def test_the_seed_decides_and_masks_are_refused():
    def run(seed):
        seed_everything(seed)
        return RandAugment().transform(dict(img=image()))['img']

    runs = [run(seed) for seed in (0, 0, *range(1, 12))]
    assert np.array_equal(runs[0], runs[1])
    assert len({r.tobytes() for r in runs}) > 6
    assert all(r.shape == (96, 96, 3) and r.dtype == np.uint8 for r in runs)
    with pytest.raises(ValueError, match='without masks'):
        RandAugment().transform(dict(img=image(), gt_seg_map=image()[..., 0]))
    with pytest.raises(ValueError, match='config must be like'):
        RandAugment('augmix-m9')


def test_what_comes_into_view_has_the_colour_of_imagenet():
    """In the order of the channels that images are loaded in."""
    found = []
    for seed in range(40):
        seed_everything(seed)
        black = np.zeros((96, 96, 3), np.uint8)
        out = RandAugment('rand-m9-mstd0.5-inc1').transform(dict(img=black))['img']
        found += [tuple(int(v) for v in pixel) for pixel in (out[0, 0], out[-1, -1], out[0, -1])]
    assert (104, 116, 124) in found


def test_every_operation_works_at_every_magnitude():
    picture = Image.fromarray(image())
    for op in _augment('rand-m9-mstd0.5-inc1', (124, 116, 104), 43).ops:
        for magnitude in (0, 8, 10):
            op = copy.copy(op)
            op.prob, op.magnitude, op.magnitude_std = 1.0, magnitude, 0
            out = np.asarray(op(picture))
            assert out.shape == (96, 96, 3) and out.dtype == np.uint8
            if op.name.startswith('Posterize') and magnitude == 10:  # no bit is kept
                assert not out.any()


def test_noise_is_standard_normal_behind_the_normalisation():
    seed_everything(3)
    results = dict(
        img=image(),
        image_labels=[0],
        num_classes=2,
        ori_shape=(96, 96),
        img_shape=(96, 96),
        img_path='x.png',
    )
    before = image().astype(np.float32)
    results = RandomErasingNoise(1.0).transform(results)
    changed = (results['img'] != before).all(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert changed.sum() > 0.99 * height * width and 0.01 < changed.mean() < 0.4
    assert np.array_equal(results['img'][~changed], before[~changed])
    init_default_scope('mmseg')
    prepare = MODELS.build(dict(type='SegDataPreProcessor', bgr_to_rgb=True, **NORM))
    inputs = torch.from_numpy(results['img']).permute(2, 0, 1)
    noise = prepare(dict(inputs=[inputs]))['inputs'][0][:, torch.from_numpy(changed)]
    assert noise.mean(1).abs().max() < 0.15 and (noise.std(1) - 1).abs().max() < 0.1


def test_erasing_is_rare_and_keeps_pixels():
    seed_everything(0)
    runs = [RandomErasingNoise(0.25).transform(dict(img=image()))['img'] for _ in range(200)]
    share = np.mean([not np.array_equal(run, image()) for run in runs])
    assert 0.15 < share < 0.35
    assert all(run.dtype == np.float32 for run in runs)
    with pytest.raises(ValueError, match='prob must be a number in'):
        RandomErasingNoise(1.5)


def test_float_images_are_packed():
    results = dict(img=image().astype(np.float32), img_path='x.png', ori_shape=(96, 96))
    results |= dict(img_shape=(96, 96))
    packed = PackWSSSInputs().transform(RandomErasingNoise(1.0).transform(results))
    assert packed['inputs'].dtype == torch.float32 and packed['inputs'].shape == (3, 96, 96)
