"""The filters of Pillow and OpenCV as tensor operations, for batches on any device.

Published tests make their views by one library or the other. Both filter along one axis, then
along the other; every new pixel is a weighted sum of a few old ones, its *taps*.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .threads import one_thread

_BITS = 22  # of the fraction of Pillow's weights


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic kernel."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


_PILLOW = {'bicubic': (2, lambda distance: _cubic(distance, -0.5)), 'bilinear': (1, _triangle)}


@lru_cache(maxsize=256)
def _pillow_taps(old: int, new: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Places and fixed-point weights ``(taps, new)``: the kernel grows when an image shrinks."""
    radius, kernel = _PILLOW[name]
    step = old / new
    stretch = max(step, 1.0)
    reach = radius * stretch
    centre = (np.arange(new) + 0.5) * step
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), old)
    place = first + np.arange(math.ceil(reach) * 2 + 1)[:, None]
    weight = kernel((place - centre + 0.5) / stretch) * (place < last)
    weight = weight / weight.sum(axis=0) * 2**_BITS
    fixed = np.trunc(weight + np.copysign(0.5, weight)).astype(np.int32)
    used = fixed.any(axis=1)
    return np.minimum(place, old - 1)[used], fixed[used]


@lru_cache(maxsize=64)
def _opencv_taps(old: int, new: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights ``(4, new)``: the kernel is as wide as four old pixels, at any scale."""
    centre = (np.arange(new) + 0.5) * step - 0.5
    place = np.floor(centre).astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(place, 0, old - 1), _cubic(place - centre, -0.75).astype(np.float32)


def _weighted_rows(rows: Tensor, taps: tuple[np.ndarray, np.ndarray], start: int = 0) -> Tensor:
    """``(..., old, C)`` -> ``(..., new, C)``, the weighted sums plus ``start``."""
    places, weights = (torch.from_numpy(values).to(rows.device) for values in taps)
    total = rows.new_full((*rows.shape[:-2], places.shape[1], rows.shape[-1]), start)
    for place, weight in zip(places, weights[:, :, None], strict=True):
        total.addcmul_(rows.index_select(-2, place), weight)
    return total


@one_thread()
def resize_pillow(image: Tensor, size: tuple[int, int], name: str = 'bicubic') -> Tensor:
    """``PIL.Image.resize``, value by value: antialiased, rounded after each axis.

    The result is that of Pillow 13, which filters the height first if it shrinks while the width
    grows; older versions always filter the width first, which moves a quarter of the values of
    such images by a level or two.

    Args:
        image: ``(..., H, W)`` uint8.
        size: New height and width.
        name: Of the filter: ``'bicubic'`` or ``'bilinear'``.

    Returns:
        ``(..., *size)`` uint8.
    """
    (height, width), maps = image.shape[-2:], image.int()
    height_first = size[0] < height and size[1] > width
    for axis in (0, 1) if height_first else (1, 0):
        maps = _filter_pillow(maps, axis, size[axis], name)
    return maps.to(torch.uint8)


def _filter_pillow(maps: Tensor, axis: int, new: int, name: str) -> Tensor:
    """One axis of ``(..., H, W)`` int32; 0 is the height."""
    old = maps.shape[axis - 2]
    if old == new:
        return maps
    rows = (maps if axis == 0 else maps.transpose(-1, -2)).contiguous()
    rows = _weighted_rows(rows, _pillow_taps(old, new, name), 1 << (_BITS - 1))
    rows = rows.bitwise_right_shift_(_BITS).clamp_(0, 255)
    return rows if axis == 0 else rows.transpose(-1, -2)


@one_thread()
def resize_opencv(maps: Tensor, size: tuple[int, int], factor: float | None = None) -> Tensor:
    """``cv2.resize(..., INTER_CUBIC)`` of floating-point values, up to rounding.

    Args:
        maps: ``(..., H, W)`` float.
        size: New height and width.
        factor: Sampling step is 1 / factor, as with ``fx`` and ``fy``; None: old / new size.

    Returns:
        ``(..., *size)``.
    """
    for new in reversed(size):
        maps = maps.transpose(-1, -2)
        old = maps.shape[-2]
        if old != new:
            step = old / new if factor is None else 1 / factor
            maps = _weighted_rows(maps.contiguous(), _opencv_taps(old, new, step))
    return maps
