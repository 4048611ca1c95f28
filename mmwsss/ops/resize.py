"""Resizing of score maps and label maps."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .threads import one_thread


def upsample(maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resize of maps ``(..., h, w)`` to ``(..., *size)``, also of none."""
    if maps.numel() == 0:  # F.interpolate refuses it
        return maps.new_zeros(*maps.shape[:-2], *size)
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    out = F.interpolate(flat, size=size, mode='bilinear', align_corners=align_corners)
    return out.reshape(*maps.shape[:-2], *out.shape[-2:])


def reduced_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width of maps with one value for ``stride`` pixels, rounded up."""
    height, width = (-(-side // stride) for side in size)
    return height, width


@one_thread()
def reduce_maps(maps: Tensor, stride: int) -> Tensor:
    """Averages of maps ``(..., H, W)`` over cells of about ``stride`` x ``stride`` pixels.

    Returns:
        ``(..., *reduced_size((H, W), stride))``; :func:`upsample` brings it back.
    """
    size = reduced_size(maps.shape[-2:], stride)
    if stride == 1 or maps.numel() == 0:
        return maps.reshape(*maps.shape[:-2], *size)
    flat = F.adaptive_avg_pool2d(maps.reshape(1, -1, *maps.shape[-2:]), size)
    return flat.reshape(*maps.shape[:-2], *size)


@one_thread()
def resize_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resize that takes the centre of each new cell, exactly as Pillow does.

    (Plain ``'nearest'`` of torch and OpenCV takes the upper left corner, which moves a reduced
    mask against the map that it supervises.)

    Args:
        label: ``(..., H, W)`` of any type.
        size: New height and width.

    Returns:
        ``(..., *size)`` of the same type and device.
    """
    rows, columns = (
        torch.from_numpy(_centres(old, new)).to(label.device)
        for old, new in zip(label.shape[-2:], size, strict=True)
    )
    return label[..., rows[:, None], columns]


def _centres(old: int, new: int) -> np.ndarray:
    """Source index of each new cell; Pillow adds up the step, roundings included."""
    step = old / new
    steps = np.full(new, step)
    steps[0] = step / 2
    return np.minimum(np.add.accumulate(steps).astype(np.int64), old - 1)
