"""Augmentation of the classifiers."""

import numpy as np
import pytest

from mmwsss.datasets.transforms.classification import (
    ColorJitter,
    RandomResizeLong,
    resize_long_pil,
)
from mmwsss.datasets.transforms.geometric import RandomPadCrop
from mmwsss.utils.seed import seed_everything

MEAN = (103.53, 116.28, 123.675)


def image(height: int = 40, width: int = 57) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_longer_side_gets_the_length_whatever_the_orientation():
    assert resize_long_pil(image(40, 57), 100).shape == (70, 100, 3)
    assert resize_long_pil(image(57, 40), 100).shape == (100, 70, 3)
    assert resize_long_pil(image(1, 300), 30).shape == (1, 30, 3)


def test_resizing_refuses_floats():
    with pytest.raises(TypeError, match='float32'):
        resize_long_pil(image().astype(np.float32), 20)


def test_random_length_covers_the_range_with_both_ends():
    transform = RandomResizeLong(long_range=(30, 33))
    seen = set()
    for seed in range(60):
        seed_everything(seed)
        result = transform(dict(img=image()))
        assert result['img'].shape[:2] == result['img_shape']
        assert result['scale_factor'] == (result['scale'][0] / 57, result['scale'][1] / 40)
        seen.add(result['img_shape'][1])
    assert seen == {30, 31, 32, 33}


def test_bad_range():
    with pytest.raises(ValueError, match='long_range'):
        RandomResizeLong(long_range=(5, 4))


def test_jitter_is_drawn_anew_and_repeats_with_the_seed():
    jitter = ColorJitter()
    seed_everything(1)
    first = jitter(dict(img=image()))['img']
    second = jitter(dict(img=image()))['img']
    seed_everything(1)
    again = jitter(dict(img=image()))['img']
    assert first.dtype == np.uint8 and first.flags.c_contiguous
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_jitter_takes_bgr():
    """Without saturation a pixel is its luminance, in which green weighs most and blue least."""
    jitter = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0)
    jitter.jitter.saturation = (0.0, 0.0)
    blue, green = np.zeros((1, 2, 3), np.uint8)[0]
    blue[0] = green[1] = 200
    grey = jitter(dict(img=np.stack([blue, green])[None]))['img'][0]
    assert grey.tolist() == [[23] * 3, [117] * 3]


def test_canvas_of_the_mean_colour_is_zero_after_normalisation():
    seed_everything(3)
    result = RandomPadCrop(crop_size=64, pad_val=MEAN)(dict(img=image()))
    crop = result['img']
    assert crop.dtype == np.float32 and crop.shape == (64, 64, 3)
    canvas = (crop == np.float32(MEAN)).all(-1)
    assert canvas.sum() == 64 * 64 - 40 * 57
    rows, columns = np.nonzero(~canvas)
    assert (rows.min(), columns.min()) != (0, 0)  # somewhere on the canvas, not in its corner
    box = crop[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_array_equal(box, image())


def test_canvas_of_whole_numbers_keeps_the_pixel_type():
    assert (
        RandomPadCrop(crop_size=64, pad_val=(1, 2, 3))(dict(img=image()))['img'].dtype == np.uint8
    )
