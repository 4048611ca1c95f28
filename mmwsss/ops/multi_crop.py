"""PMM: classifying crops of an image, and maps put together from them.

Official code: Eli-YiLi/PMM, ``tool/data.py`` and ``pipeline/infer_multi_crop.py``. A box is
``(y0, y1, x0, x1)`` in pixels of the image, ends excluded.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .threads import one_thread

Forward = Callable[[Tensor], Tensor]


def _tiles(side: int, scale: float, crop: int, stride: int) -> list[tuple[int, int]]:
    """Intervals of one axis: on the scaled one pieces of ``stride`` and a last one of ``crop``."""
    scaled = max(1, int(side * scale))
    over = max(0, scaled - crop)
    starts = [(i * stride, (i + 1) * stride) for i in range(math.ceil(over / stride))]
    pieces = [(int(a / scale), int(b / scale)) for a, b in (*starts, (over, scaled))]
    return [(a, max(a + 1, b)) for a, b in pieces]


def tile_boxes(
    size: tuple[int, int], scales: Sequence[float], crop: int = 448, stride: int = 300
) -> list[Tensor]:
    """Boxes that cover an image at every scale (``get_multi_crop_params``).

    At a scale, every axis is cut into pieces of ``stride`` pixels and a last one of ``crop``, so
    that inner boxes are smaller than the crop to which all are resized. By rounding, those of one
    scale may leave out a last row or column, if the scale is not 1.

    Args:
        size: Height and width.
        scales: Factors on the size.
        crop, stride: Pixels on the scaled image.

    Returns:
        For each scale ``(M, 4)`` int64: left to right, in a column from top to bottom.
    """
    boxes = []
    for scale in scales:
        rows, columns = (_tiles(side, scale, crop, stride) for side in size)
        boxes.append(torch.tensor([[*row, *column] for column in columns for row in rows]))
    return boxes


@one_thread()
def summed_areas(confident: Tensor) -> Tensor:
    """Summed-area tables: entry (y, x) counts the pixels above y and left of x.

    Args:
        confident: ``(K, H, W)`` bool.

    Returns:
        ``(K, H + 1, W + 1)`` int32.
    """
    table = confident.new_zeros(
        confident.shape[0], *(side + 1 for side in confident.shape[1:]), dtype=torch.int32
    )
    torch.cumsum(confident.int().cumsum(dim=1, dtype=torch.int32), dim=2, out=table[:, 1:, 1:])
    return table


@one_thread()
def crop_labels(tables: Tensor, boxes: Tensor, share: float = 0.1) -> Tensor:
    """Which classes a box shows (``update_label``).

    A class is shown where more than ``share`` of its confident pixels lie in the box, or more than
    ``share`` of the box are such pixels.

    Args:
        tables: :func:`summed_areas` of the confident pixels of K classes, ``(K, H + 1, W + 1)``.
        boxes: ``(M, 4)``.
        share: In [0, 1].

    Returns:
        ``(M, K)`` bool; never a class without confident pixels.
    """
    y0, y1, x0, x1 = boxes.unbind(1)
    inside = tables[:, y1, x1] - tables[:, y0, x1] - tables[:, y1, x0] + tables[:, y0, x0]
    inside, total = inside.T.double(), tables[:, -1, -1].double()
    area = ((y1 - y0) * (x1 - x0)).double()[:, None]
    shown = (inside / total.clamp(min=1) > share) | (inside / area > share)
    return shown & (total > 0)


def multi_crop_cams(
    forward: Forward,
    crops: Iterable[Tensor],
    boxes: Tensor,
    size: tuple[int, int],
    through: int | None = None,
) -> Tensor:
    """Maps of an image from those of its crops, the mean where these overlap.

    Args:
        forward: ``(2 n, 3, h, w)`` -> maps ``(2 n, K, h', w')`` of the labelled classes: crop,
            mirrored crop, next crop, ...
        crops: Batches ``(n, 3, h, w)`` of normalised crops, in the order of ``boxes``; taken one at
            a time.
        boxes: ``(M, 4)``.
        size: ``(H, W)`` of the image; a pixel that no box covers counts as 0.

        through: Maps are brought to squares of this side (bilinear, ``align_corners=True``) before
            they are brought to their boxes (``align_corners=False``), as PMM does with the side of
            the crops; None: at once.

    Returns:
        ``(K, H, W)`` in [0, 1]: values below min + 1e-5 become 0, then
        ``(x - min) / (max - min + 1e-5)``.
    """
    total, count, place = None, None, 0
    for batch in crops:
        maps = forward(torch.stack([batch, batch.flip(-1)], dim=1).flatten(0, 1))
        with one_thread():  # not around the network
            plain, mirrored = maps.float().unflatten(0, (-1, 2)).unbind(1)
            maps = (plain + mirrored.flip(-1)) / 2
            if total is None:
                total = maps.new_zeros(maps.shape[1], *size)
                count = maps.new_zeros(size)
            here = boxes[place : place + len(maps)].tolist()
            for one, (y0, y1, x0, x1) in zip(maps, here, strict=True):
                rows = _resizing(one.shape[1], through, y1 - y0).to(one)
                columns = _resizing(one.shape[2], through, x1 - x0).to(one)
                total[:, y0:y1, x0:x1] += rows @ one @ columns.T
                count[y0:y1, x0:x1] += 1
            place += len(batch)
    if place != len(boxes):
        raise ValueError(f'{len(boxes)} boxes and {place} crops: every box needs one')
    with one_thread():
        return _scaled(total / count.clamp(min=1))


@lru_cache(maxsize=256)
def _resizing(old: int, through: int | None, new: int) -> Tensor:
    """Linear resizing of one axis, or two in succession, as a matrix ``(new, old)``."""
    maps = torch.eye(old)[None]
    if through is not None:
        maps = F.interpolate(maps, size=through, mode='linear', align_corners=True)
    return F.interpolate(maps, size=new, mode='linear', align_corners=False)[0].T.contiguous()


def _scaled(maps: Tensor) -> Tensor:
    low = maps.amin(dim=(-2, -1), keepdim=True)
    high = maps.amax(dim=(-2, -1), keepdim=True)
    maps = maps.masked_fill(maps < low + 1e-5, 0)
    return (maps - low) / (high - low + 1e-5)
