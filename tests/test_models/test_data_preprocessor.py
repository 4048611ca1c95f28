"""The canvas around small images."""

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmseg.models.data_preprocessor import SegDataPreProcessor

from mmwsss.datasets.transforms import PackWSSSInputs, RandomPadCrop
from mmwsss.models.data_preprocessor import ZeroCanvasPreProcessor

MEAN, STD = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]


def batch(pad_val) -> dict:
    """One image on a canvas, one cut to the crop, one that was never placed on a canvas."""
    rng = np.random.default_rng(0)
    items = []
    for size in ((20, 30), (50, 60)):
        np.random.seed(0)
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        item = dict(img=image, ori_shape=size, img_path='x.jpg')
        items.append(PackWSSSInputs()(RandomPadCrop((40, 48), pad_val)(item)))
    whole = dict(img=rng.integers(0, 256, (40, 48, 3), dtype=np.uint8), img_path='y.jpg')
    return pseudo_collate([*items, PackWSSSInputs()(whole)])


def test_any_canvas_becomes_the_mean_colour():
    """As mmseg's preprocessor behind a canvas of the mean, in the order of the loaded channels."""
    norm = dict(mean=MEAN, std=STD, bgr_to_rgb=True, size=(40, 48))
    expected = SegDataPreProcessor(**norm)(batch(MEAN[::-1]), training=True)['inputs']
    for pad_val in (0, (3.5, 200, 7)):
        for training in (True, False):
            data = ZeroCanvasPreProcessor(**norm)(batch(pad_val), training)
            torch.testing.assert_close(data['inputs'], expected)
    assert (expected[0] == 0).float().mean() > 0.5


def test_images_without_samples_pass():
    images = [torch.full((3, 8, 8), 120, dtype=torch.uint8)]
    norm = ZeroCanvasPreProcessor(mean=[127.0] * 3, std=[128.0] * 3)
    found = norm(dict(inputs=images), training=False)['inputs']
    torch.testing.assert_close(found, torch.full((1, 3, 8, 8), -7 / 128))
