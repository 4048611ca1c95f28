"""Views of a size that a network was trained at, and windows of them."""

from collections.abc import Callable, Iterable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resize import upsample

Size = tuple[int, int]
Box = tuple[int, int, int, int]


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


def window_boxes(size: Size, crop: Size, stride: Size) -> list[Box]:
    """Windows of an image, row by row; where it is smaller than the crop, so are they.

    Args:
        size: Of the image (h, w).
        crop, stride: Of windows (h, w).

    Returns:
        Top, left, height and width of each.
    """
    high, wide = (min(pair) for pair in zip(crop, size, strict=True))
    starts = (window_starts(*axis) for axis in zip(size, crop, stride, strict=True))
    return [(y, x, high, wide) for y, x in product(*starts)]


def merge_window_maps(
    windows: Iterable[tuple[Box, Tensor, Tensor]], num_maps: int, size: Size
) -> Tensor:
    """Join class maps that were normalised window by window.

    Such a map reaches 1 in every window, also where the class is not, so that it says where the
    class is in a window and not whether. ``presence`` says that: with r the presence of a class
    in a window over its presence in the window that shows it best, the map of that window counts
    as r times its values, and has the weight r in the mean over the windows that cover a pixel.
    Only the ratios of presences matter: they are brought to [0, 1] when all windows are known. One
    window is taken as it is.

    Args:
        windows: Box (top, left, height, width), maps ``(K, h, w)`` in [0, 1], enlarged to the box
            (bilinear) if they are smaller, and presence ``(K,)`` >= 0. They are taken one by
            one; boxes may overlap, and need not have one size.
        num_maps: K.
        size: Of the image (h, w).

    Returns:
        ``(K, *size)`` in [0, 1]; 0 where no window shows the class.

    Raises:
        ValueError: There is no window.
    """
    total = weight = best = None
    for (top, left, high, wide), maps, presence in windows:
        if total is None:
            total, weight = (maps.new_zeros(num_maps, *size) for _ in range(2))
            best = presence
        best = torch.maximum(best, presence)
        share = presence[:, None, None].to(maps)
        place = (slice(None), slice(top, top + high), slice(left, left + wide))
        total[place] += share**2 * upsample(maps, (high, wide))
        weight[place] += share
    if total is None:
        raise ValueError('there is no window to merge')
    scale = weight.mul_(best.to(weight)[:, None, None])
    return torch.where(scale > 0, total / scale.clamp(min=torch.finfo(scale.dtype).tiny), 0)


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
    starts = [box[:2] for box in window_boxes((height, width), crop, stride)]
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
