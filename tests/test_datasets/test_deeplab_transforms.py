import colorsys

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from mmwsss.datasets.transforms.deeplab import (
    IntHSVJitter,
    RandomScaleCV2,
    jitter_hsv,
    scale_image,
    scale_label,
)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_hsv_jitter_of_single_colours():
    def colour(rgb):
        return np.array(rgb[::-1], np.uint8).reshape(1, 1, 3)

    # red is hue 0: down by 30 (60 degrees) it becomes magenta, up by 60 green
    assert jitter_hsv(colour((255, 0, 0)), (-30, 0, 0))[0, 0, ::-1].tolist() == [255, 0, 255]
    assert jitter_hsv(colour((255, 0, 0)), (60, 0, 0))[0, 0, ::-1].tolist() == [0, 255, 0]
    # clipped, not wrapped
    assert jitter_hsv(colour((250, 250, 250)), (0, 0, 10))[0, 0].tolist() == [255] * 3
    assert jitter_hsv(colour((5, 5, 5)), (0, -10, -10))[0, 0].tolist() == [0] * 3
    with pytest.raises(TypeError, match='uint8'):
        jitter_hsv(np.zeros((2, 2, 3), np.float32), (0, 0, 0))


def test_hsv_jitter_shifts_what_it_says():
    image = picture(20, 20)
    bright = image[(image.max(-1) > 100) & (image.max(-1) < 200)]
    value = jitter_hsv(bright[None], (0, 0, 10))[0].max(-1)
    np.testing.assert_array_equal(value, bright.max(-1) + 10)
    b, g, r = jitter_hsv(bright[None], (10, 0, 0))[0, 0] / 255.0
    old = colorsys.rgb_to_hsv(*(bright[0, ::-1] / 255.0))[0]
    assert (colorsys.rgb_to_hsv(r, g, b)[0] - old) % 1 == pytest.approx(20 / 360, abs=0.02)


def test_jitter_transform_draws_within_its_range():
    np.random.seed(0)
    jitter = IntHSVJitter(delta=3)
    draws = np.stack([jitter._random_delta() for _ in range(200)])
    assert draws.min() == -3
    assert draws.max() == 3
    image = picture(4, 4)
    assert IntHSVJitter(delta=0)(dict(img=image))['img'].shape == image.shape


@pytest.mark.parametrize(
    ('rule', 'size'), [('factor', (20, 28)), ('size', (20, 27))]
)  # 20.4 and 27.6
def test_image_and_label_keep_together(rule, size):
    image = np.zeros((30, 41, 3), np.float32)
    image[8:20, 10:30] = 200
    label = (image[..., 0] > 100).astype(np.uint8)
    ratio = 0.68
    for interpolation in ('bilinear', 'bicubic'):
        scaled = scale_image(image, ratio, rule, interpolation)
        assert scaled.shape[:2] == scale_label(label, ratio, rule).shape == size
        apart = (scaled[..., 0] > 100) != scale_label(label, ratio, rule)
        assert apart.mean() < 0.12
    assert scaled.dtype == np.float32


def test_scale_transform():
    init_default_scope('mmseg')
    np.random.seed(0)
    results = dict(img=picture(40, 60), gt_seg_map=picture(40, 60)[..., 0], seg_fields=[])
    results = Compose([dict(type='mmwsss.RandomScaleCV2', scales=(0.5,))])(results)
    assert results['img'].shape == (20, 30, 3)
    assert results['img_shape'] == results['gt_seg_map'].shape == (20, 30)
    assert results['scale_factor'] == (0.5, 0.5)
    choice, uniform = RandomScaleCV2(scales=(0.5, 1.5)), RandomScaleCV2(scale_range=(0.5, 1.5))
    assert {choice._random_ratio() for _ in range(50)} == {0.5, 1.5}
    ratios = [uniform._random_ratio() for _ in range(50)]
    assert 0.5 <= min(ratios) < 0.7 < 1.3 < max(ratios) <= 1.5


def test_a_mask_of_another_size_is_refused():
    results = dict(img=picture(9, 9), gt_seg_map=np.zeros((9, 8), np.uint8), img_path='a.jpg')
    with pytest.raises(ValueError, match=r'a\.jpg'):
        RandomScaleCV2(scales=(1.0,))(results)


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(scales=(1.0,), scale_range=(0.5, 1.0)),
        dict(scales=()),
        dict(scale_range=(1.0, 0.5)),
        dict(scales=(0.0,)),
        dict(scales=(1.0,), rule='round'),
        dict(scales=(1.0,), interpolation='area'),
    ],
)
def test_mistakes_in_the_config(kwargs):
    with pytest.raises(ValueError, match=r'scale|factors|rule|interpolation'):
        RandomScaleCV2(**kwargs)
