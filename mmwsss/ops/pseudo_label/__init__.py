"""From cams to label maps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import one_thread
from .cpu import label_best


@one_thread()
def add_background(cams: Tensor, power: float = 1.0) -> Tensor:
    """Prepend the background score ``(1 - max_c cam) ** power``.

    Args:
        cams: ``(B, K, H, W)`` in [0, 1].

    Returns:
        ``(B, 1 + K, H, W)``.
    """
    if cams.shape[1] == 0:
        return F.pad(cams, (0, 0, 0, 0, 1, 0), value=1.0)
    return torch.cat([(1 - cams.amax(dim=1, keepdim=True)) ** power, cams], dim=1)


def _compiled(scores: Tensor) -> bool:
    """Whether kernels of numba do the work, rather than tensor operations."""
    floats = scores.dtype in (torch.float32, torch.float64)
    return scores.device.type == 'cpu' and floats and scores.shape[1] > 0


def decide(scores: Tensor, classes: Tensor) -> Tensor:
    """Label map of the best score; the first wins a tie.

    Args:
        scores: ``(B, 1 + K, H, W)``, background first.
        classes: ``(B, K)`` 0-based foreground class of each further channel, -1 for none.

    Returns:
        ``(B, H, W)`` int64: 0 background, class index + 1 elsewhere.
    """
    table = F.pad(classes + 1, (1, 0))
    absent = F.pad(classes < 0, (1, 0))
    if _compiled(scores):
        return label_best(scores, table, ~absent)
    best = scores.masked_fill(absent[:, :, None, None], -torch.inf).argmax(dim=1)
    return table.gather(1, best.flatten(1)).view_as(best)


def threshold_label(
    cams: Tensor,
    classes: Tensor,
    low: float,
    high: float | None = None,
    box: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Label map of the largest cam above a constant background.

    With m the largest cam of a pixel: background where m <= low, ignored where
    low < m <= high, elsewhere the class of m. Without ``high`` this is the argmax over
    [low, cams], with background winning a tie.

    Args:
        cams: ``(B, K, H, W)``.
        classes: ``(B, K)`` 0-based foreground class of each channel, -1 for none.
        low, high: Thresholds (AFA, arXiv 2203.02664: 0.35 and 0.55; CAM seeds: low alone).
        box: ``(B, 4)`` y0, y1, x0, x1 of the image within a padded crop; ignored outside.

    Returns:
        ``(B, H, W)`` int64: 0 background, class index + 1, or ``ignore_index``.
    """
    if _compiled(cams):
        high = -torch.inf if high is None else high
        return label_best(cams, classes + 1, classes >= 0, low, high, ignore_index, box)
    num_images, _, height, width = cams.shape
    if cams.shape[1]:
        absent = (classes < 0)[:, :, None, None]
        best, index = cams.masked_fill(absent, -torch.inf).max(dim=1)
        label = (classes + 1).gather(1, index.flatten(1)).view_as(index)
    else:
        best = cams.new_full((num_images, height, width), -torch.inf)
        label = torch.zeros_like(best, dtype=torch.int64)
    if high is not None:
        label = label.masked_fill(best <= high, ignore_index)
    label = label.masked_fill(best <= low, 0)
    if box is None:
        return label
    inside = inside_box(box.to(cams.device), (height, width))
    return label.masked_fill(~inside, ignore_index)


def inside_box(box: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels inside boxes.

    Args:
        box: ``(B, 4)`` y0, y1, x0, x1; ends are exclusive and may lie beyond the map.
        size: (H, W) of the maps.

    Returns:
        ``(B, H, W)`` bool.
    """
    y = torch.arange(size[0], device=box.device)[None, :, None]
    x = torch.arange(size[1], device=box.device)[None, None, :]
    y0, y1, x0, x1 = (side[:, None, None] for side in box.unbind(1))
    return (y >= y0) & (y < y1) & (x >= x0) & (x < x1)


@one_thread()
def region_level(cams: Tensor, classes: Tensor, low: float, high: float) -> Tensor:
    """How sure a pixel is to be foreground (ToCo, arXiv 2303.01267: where crops are taken).

    With m the largest cam of a pixel: 0 where m <= low, 2 where m >= high, else 1.

    Args:
        cams: ``(B, K, H, W)`` in [0, 1].
        classes: ``(B, K)`` 0-based foreground class of each channel, -1 for none.
        low, high: Thresholds.

    Returns:
        ``(B, H, W)`` int64.
    """
    if cams.shape[1] == 0:
        return cams.new_zeros(len(cams), *cams.shape[2:], dtype=torch.int64)
    best = cams.masked_fill((classes < 0)[:, :, None, None], -torch.inf).amax(dim=1)
    return (best >= high).long() + ((best > low) | (best >= high)).long()


@one_thread()
def region_label(
    cams: Tensor,
    classes: Tensor,
    low: float,
    high: float,
    box: Tensor | None = None,
    ignore_index: int = 255,
    unsure_index: int = -1,
) -> Tensor:
    """Label map that tells unsure pixels from those outside the image (SeCo, CVPR 2024).

    Args:
        cams, classes, low, high, box: See :func:`threshold_label`.

    Returns:
        ``(B, H, W)`` int64: 0 background, class index + 1, ``unsure_index`` between the
        thresholds, ``ignore_index`` outside the box.
    """
    label = threshold_label(cams, classes, low, high, ignore_index=unsure_index)
    if box is None:
        return label
    return label.masked_fill(~inside_box(box.to(cams.device), cams.shape[-2:]), ignore_index)


def confident_label(foreground: Tensor, background: Tensor, ignore_index: int = 255) -> Tensor:
    """Keep the labels that two background thresholds agree on (IRN, arXiv 1904.05044, 3.2).

    Args:
        foreground: Label map of a high threshold (0.30 in IRN), refined by a CRF: whatever it
            calls foreground is confident.
        background: Label map of a low threshold (0.05), refined likewise: whatever it calls
            background is confident, where ``foreground`` agrees.

    Returns:
        The class, 0, or ``ignore_index`` where neither is confident.
    """
    unsure = (foreground == 0) & (background != 0)
    return foreground.masked_fill(unsure, ignore_index)
