"""Pillow's and OpenCV's filters, against the libraries themselves."""

import cv2
import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from mmwsss.ops.resample import resize_opencv, resize_pillow

SIZES = [
    ((37, 50), (19, 25)),
    ((37, 50), (56, 75)),
    ((37, 50), (74, 50)),  # one axis stays
    ((33, 51), (160, 4)),  # grows and shrinks
    ((5, 7), (1, 1)),
    ((1, 1), (4, 5)),
]


# the order of the axes is that of Pillow 13 here
LOWER_AND_WIDER = [((33, 51), (4, 160)), ((100, 100), (99, 101))]
NEW_PILLOW = int(PIL.__version__.split('.')[0]) >= 13


@pytest.mark.parametrize(('old', 'new'), SIZES + LOWER_AND_WIDER * NEW_PILLOW)
@pytest.mark.parametrize('name', ['bicubic', 'bilinear'])
def test_pillow_value_by_value(old, new, name):
    image = torch.randint(0, 256, (2, 3, *old), dtype=torch.uint8)
    image[0, :, : old[0] // 2] = 255  # overshoots at the edge are cut off
    image[0, :, old[0] // 2 :] = 0
    resized = resize_pillow(image, new, name)
    assert resized.dtype == torch.uint8
    for ours, theirs in zip(resized, image, strict=True):
        pixels = np.ascontiguousarray(theirs.permute(1, 2, 0).numpy())
        resample = Image.Resampling[name.upper()]
        expected = np.asarray(Image.fromarray(pixels).resize(new[::-1], resample))
        np.testing.assert_array_equal(ours.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(('old', 'new'), SIZES)
def test_opencv_up_to_rounding(old, new):
    maps = torch.randn(1, 3, *old)
    image = np.ascontiguousarray(maps[0].permute(1, 2, 0).numpy())
    expected = cv2.resize(image, new[::-1], interpolation=cv2.INTER_CUBIC)
    resized = resize_opencv(maps, new)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(resized, expected, atol=5e-6)
