"""Random crops of torchvision's two rules."""

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.transforms import RandomResizedCropPIL
from mmwsss.datasets.transforms.resized_crop import crop_box, resized_crop
from mmwsss.utils.seed import seed_everything


def image(height: int = 40, width: int = 57) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sample(height, width, fallback, count=4000):
    """Shares of central squares or whole images, and of the area that is kept."""
    rng = np.random.default_rng(1)
    boxes = np.array(
        [crop_box(height, width, rng.random((10, 5)), fallback=fallback) for _ in range(count)]
    )
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (height, width)).all()
    square = (boxes[:, 2:] == min(height, width)).all(1).mean()
    return square, (boxes[:, 2] * boxes[:, 3]).mean() / (height * width)


def test_old_rule_falls_back_to_a_square_of_the_shorter_side():
    """Shares of the fallback and mean kept areas of torchvision 0.2.1."""
    square, area = sample(375, 500, 'square')
    assert square == pytest.approx(0.36, abs=0.03)
    assert area == pytest.approx(0.87, abs=0.01)
    square, area = sample(333, 500, 'square')
    assert square == pytest.approx(1.0, abs=0.002)
    assert area == pytest.approx(0.67, abs=0.01)


def test_new_rule_keeps_most_of_the_image():
    assert sample(375, 500, 'whole')[1] == pytest.approx(0.96, abs=0.01)
    assert sample(333, 500, 'whole')[1] == pytest.approx(0.89, abs=0.01)


def test_new_rule_is_the_installed_torchvision():
    """The same distribution of boxes."""
    from torchvision.transforms import RandomResizedCrop

    seed_everything(0)
    rng = np.random.default_rng(0)
    for height, width in ((375, 500), (500, 281), (300, 300)):
        blank = Image.new('L', (width, height))
        theirs = [
            RandomResizedCrop.get_params(blank, (0.9, 1.0), (3 / 4, 4 / 3)) for _ in range(2000)
        ]
        ours = [crop_box(height, width, rng.random((10, 5)), fallback='whole') for _ in range(2000)]
        np.testing.assert_allclose(np.mean(ours, 0), np.mean(theirs, 0), atol=1.5)
        np.testing.assert_allclose(np.std(ours, 0), np.std(theirs, 0), atol=1.5)


def test_draws_decide_the_box():
    ratio = 3 / 4 + 0.2 * (4 / 3 - 3 / 4)
    height, width = round((10800 / ratio) ** 0.5), round((10800 * ratio) ** 0.5)
    # area, ratio, swap, top, left; the first trial, of ratio 4 / 3, is too wide
    draws = np.array([[0.5, 1.0, 0.9, 0.0, 0.0], [0.0, 0.2, 0.9, 0.99, 0.5]])
    expected = (int(0.99 * (121 - height)), int(0.5 * (101 - width)), height, width)
    assert crop_box(120, 100, draws) == expected
    draws[1, 2] = 0.1  # swapped: too wide as well
    assert crop_box(120, 100, draws) == (10, 0, 100, 100)


def test_every_position_is_reached():
    draws = np.tile([0.0, 0.4, 0.9, 0.0, 0.0], (1, 1))
    _, _, height, width = crop_box(60, 60, draws)
    draws[0, 3:] = np.nextafter(1, 0)
    assert crop_box(60, 60, draws)[:2] == (60 - height, 60 - width)


def test_extreme_shapes():
    rng = np.random.default_rng(0)
    assert crop_box(10, 100, rng.random((10, 5))) == (0, 45, 10, 10)
    assert crop_box(10, 100, rng.random((10, 5)), fallback='whole') == (0, 43, 10, 13)
    assert crop_box(100, 10, rng.random((10, 5)), fallback='whole') == (43, 0, 13, 10)
    assert crop_box(1, 1, rng.random((10, 5))) == (0, 0, 1, 1)


def test_only_pixels_of_the_box_enter_the_filter():
    pixels = image()
    expected = Image.fromarray(pixels).crop((7, 3, 37, 33)).resize((24, 16), Image.BICUBIC)
    np.testing.assert_array_equal(resized_crop(pixels, (3, 7, 30, 30), (16, 24)), expected)


def test_transform_repeats_with_the_seed_and_cuts_masks_alike():
    transform = RandomResizedCropPIL(crop_size=32)
    pixels = np.repeat(image(48, 48)[..., :1], 3, axis=2)
    pixels[...] = (np.arange(48) * 5)[None, :, None]
    seed_everything(4)
    first = transform(dict(img=pixels, gt_seg_map=pixels[..., 0]))
    seed_everything(4)
    again = transform(dict(img=pixels))
    np.testing.assert_array_equal(first['img'], again['img'])
    assert first['img'].shape == (32, 32, 3) and first['img_shape'] == (32, 32)
    difference = first['img'][..., 0].astype(int) - first['gt_seg_map']
    assert np.abs(difference).max() <= 5
    assert not np.array_equal(transform(dict(img=pixels))['img'], first['img'])


def test_errors():
    with pytest.raises(ValueError, match="fallback must be one of square, whole, got 'largest'"):
        RandomResizedCropPIL(32, fallback='largest')
    with pytest.raises(ValueError, match="'largest' is not one of"):
        crop_box(4, 4, np.zeros((10, 5)), fallback='largest')
    with pytest.raises(ValueError, match='scale'):
        RandomResizedCropPIL(32, scale=(0.9, 1.1))
    with pytest.raises(ValueError, match='ratio'):
        RandomResizedCropPIL(32, ratio=(2, 1))
    with pytest.raises(ValueError, match='crop_size'):
        RandomResizedCropPIL(0)
    with pytest.raises(TypeError, match='float32'):
        RandomResizedCropPIL(32)(dict(img=image().astype(np.float32)))
