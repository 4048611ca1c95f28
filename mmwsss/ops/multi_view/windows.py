"""Views of a size that a network was trained at, and windows of them."""

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


def keep_ratio_size(size: Size, scale: tuple[float, float]) -> Size:
    """Size of an image (h, w) that just fits into a rectangle, as mmcv's ``imrescale`` rounds it.

    Args:
        size: Height and width.
        scale: Longest allowed long side and short side, cut to whole pixels; of any order.
    """
    long, short = sorted((int(side) for side in scale), reverse=True)
    factor = min(long / max(size), short / min(size))
    height, width = (int(side * factor + 0.5) for side in size)
    return height, width


def resize_pixels(inputs: Tensor, size: Size, mean: Tensor, std: Tensor) -> Tensor:
    """Bilinear resizing of the pixels behind normalised images, rounded to grey levels.

    OpenCV's of uint8 images, up to one level, in which its fixed-point weights differ.

    Args:
        inputs: ``(B, 3, H, W)``.
        size: New height and width.
        mean, std: The normalisation, ``(3, 1, 1)``.
    """
    if tuple(size) == tuple(inputs.shape[-2:]):
        return inputs
    pixels = (inputs * std + mean).round()
    small = F.interpolate(pixels, size=size, mode='bilinear', align_corners=False)
    return (small.round() - mean) / std


def window_starts(size: int, crop: int, stride: int) -> list[int]:
    """Where windows of one axis begin; the last ones are moved back into the image."""
    count = max(size - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride + crop, size) - crop, 0) for i in range(count)]


def slide(
    forward: Callable[[Tensor], Tensor], inputs: Tensor, crop: Size, stride: Size, batch: int = 8
) -> Tensor:
    """Logits of sliding windows, averaged where they overlap.

    Args:
        forward: ``(N, 3, h, w)`` -> ``(N, C, h', w')``, brought to the size of the windows
            (bilinear, ``align_corners=False``).
        inputs: ``(B, 3, H, W)``; where it is smaller than the crop, so are its windows.
        crop, stride: Of windows (h, w).
        batch: Windows per forward pass.

    Returns:
        ``(B, C, H, W)``.
    """
    height, width = inputs.shape[-2:]
    high, wide = min(crop[0], height), min(crop[1], width)
    starts = list(
        product(window_starts(height, crop[0], stride[0]), window_starts(width, crop[1], stride[1]))
    )
    windows = [inputs[:, :, y : y + high, x : x + wide] for y, x in starts]
    total, count = None, inputs.new_zeros(1, 1, height, width)
    per = max(1, batch // len(inputs))
    for first in range(0, len(windows), per):
        logits = forward(torch.cat(windows[first : first + per])).float()
        logits = F.interpolate(logits, size=(high, wide), mode='bilinear', align_corners=False)
        if total is None:
            total = logits.new_zeros(len(inputs), logits.shape[1], height, width)
        for part, (y, x) in zip(logits.split(len(inputs)), starts[first:], strict=False):
            total[:, :, y : y + high, x : x + wide] += part
            count[:, :, y : y + high, x : x + wide] += 1
    return total / count
