"""Images and data samples of which a test knows everything."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from torch import Tensor


def multi_hot(*labels: Sequence[int], num_classes: int = 3) -> Tensor:
    """Image labels as one tensor.

    Args:
        labels: For each image the 0-based foreground classes that it shows.
        num_classes: Foreground classes.

    Returns:
        ``(B, num_classes)`` float32 of 0 and 1.
    """
    hot = torch.zeros(len(labels), num_classes)
    for row, classes in zip(hot, labels, strict=True):
        row[list(classes)] = 1
    return hot


def labelled_sample(hot: Tensor, **meta: Any) -> SegDataSample:
    """A sample with the image labels ``hot`` ``(C_fg,)`` and whatever else is known of it."""
    return SegDataSample(metainfo=meta, gt_image_labels=LabelData(label=hot))


def labelled_samples(
    *labels: Sequence[int],
    num_classes: int = 3,
    size: tuple[int, int] = (40, 56),
    boxes: Sequence[tuple[int, int, int, int]] | None = None,
) -> list[SegDataSample]:
    """A batch of samples with image labels.

    Args:
        labels: See :func:`multi_hot`.
        num_classes: Foreground classes.
        size: ``(H, W)`` of the images.
        boxes: ``img_box`` of each image, its part of the crop.
    """
    meta = dict(img_path='x.png', ori_shape=size, img_shape=size)
    samples = [labelled_sample(hot, **meta) for hot in multi_hot(*labels, num_classes=num_classes)]
    for sample, box in zip(samples, boxes or (), strict=bool(boxes)):
        sample.set_metainfo(dict(img_box=box))
    return samples


def smooth_pixels(height: int, width: int, seed: int = 0) -> Tensor:
    """An image of soft blobs ``(3, height, width)`` uint8: its edges are those of no pixel grid."""
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    image = F.interpolate(coarse, (height, width), mode='bicubic')[0].clamp(0, 1)
    return (image * 255).round().byte()


def noise(
    number: int, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Normalised images ``(number, 3, *size)`` whose pixels are whole numbers of 0 to 255."""
    pixels = torch.randint(0, 256, (number, 3, *size), generator=torch.Generator().manual_seed(1))
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
