"""Large images, window by window: whether each shows a class, and the maps of all as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..ops.multi_view.windows import Box, merge_window_maps, window_boxes
from ..utils.checks import check_range
from ..utils.images import fit_sides
from .clip_maps import CLIPMaps
from .request import LABEL_THRESHOLD

MIN_SIDE = 64  # four patches of ViT-B/16
# With windows images keep their size up to this one, which bounds the memory.
WINDOWS_MAX_SIDE = 4096
# A window in which the presence of a class is below has no say in its map.
MIN_PRESENCE = 0.05


def check_windows(window: int | None, stride: int | None) -> None:
    """Raise ValueError unless windows have a side of at least 64, and the stride fits them."""
    check_range('window', window, MIN_SIDE, integer=True)
    if window is None and stride is not None:
        raise ValueError('stride is that of windows: give their side, window')
    check_range('stride', stride, 1, window or 1, integer=True)


def window_maps(
    maps: CLIPMaps,
    image: np.ndarray,
    labels: np.ndarray | None,
    threshold: float,
    windows: tuple[int, int],
    sides: tuple[int, int],
    batch_size: int,
) -> tuple[np.ndarray, Tensor, Tensor | None]:
    """Labels and maps of an image in views: its windows, and the whole image at their size.

    Args:
        maps: The model.
        image: uint8 RGB ``(H, W, 3)``.
        labels: 0-based classes ``(K,)``; None: those that any view shows.
        threshold: Probability above which a view shows a class.
        windows: Side and stride.
        sides: Least and largest side at which the model sees a view.
        batch_size: Views per pass.

    Returns:
        Labels ``(K,)``, maps ``(K, H, W)`` in [0, 1], and, if labels were None, the largest
        probability ``(C,)`` of every class.
    """
    size, (side, stride), found = image.shape[:2], windows, None
    boxes = [(0, 0, *size), *window_boxes(size, (side, side), (stride, stride))]
    views = _Views(image, boxes, *sides)
    chunks = [range(i, min(i + batch_size, len(boxes))) for i in range(0, len(boxes), batch_size)]
    scores = torch.cat(
        [maps.class_scores(maps.pack([views[i] for i in chunk])['inputs']) for chunk in chunks]
    )
    if labels is None:
        found = scores.amax(dim=0).cpu()
        labels = np.flatnonzero(found.numpy() > threshold)
    presence = class_presence(scores.cpu()[:, torch.from_numpy(labels)])
    if not len(labels):
        return labels, torch.zeros(0, *size), found
    parts = _maps_of_views(maps, views, labels, presence, batch_size)
    return labels, merge_window_maps(parts, len(labels), size), found


class _Views:
    """Parts of an image, cut out and shrunk to the size of a window when they are needed."""

    def __init__(
        self, image: np.ndarray, boxes: Sequence[Box], min_side: int, max_side: int
    ) -> None:
        self.image, self.boxes, self.sides = image, boxes, (min_side, max_side)

    def __getitem__(self, index: int) -> np.ndarray:
        top, left, high, wide = self.boxes[index]
        return fit_sides(self.image[top : top + high, left : left + wide], *self.sides)


def _maps_of_views(
    maps: CLIPMaps, views: _Views, labels: np.ndarray, presence: Tensor, batch_size: int
) -> Iterator[tuple[Box, Tensor, Tensor]]:
    """Box, maps ``(K, h, w)`` and presence ``(K,)`` of the views that show some class."""
    shown = presence.any(dim=1).nonzero().flatten().tolist()
    for first in range(0, len(shown), batch_size):
        chunk = shown[first : first + batch_size]
        present = [(presence[i] > 0).nonzero().flatten() for i in chunk]
        data = maps.pack([views[i] for i in chunk])
        samples = maps.predict(data, [labels[p.numpy()] for p in present])
        for i, known, sample in zip(chunk, present, samples, strict=True):
            found = sample.pred_cam.cam.float().cpu()
            cams = found.new_zeros(len(labels), *found.shape[1:])
            cams[known] = found
            yield views.boxes[i], cams, presence[i]


def class_presence(scores: Tensor) -> Tensor:
    """How surely each view of an image shows a class, for joining their maps.

    1 if CLIP's probability reaches 0.1, the threshold of image labels, or, where no view
    reaches it, that of the best view; in proportion below, and 0 below a twentieth. Probabilities
    above the threshold are no measure: two objects of a class that are seen with 0.9 and 0.3 are
    both there.

    Args:
        scores: Probabilities ``(V, K)`` of V views.

    Returns:
        ``(V, K)`` in [0, 1]; some view has 1.
    """
    enough = scores.amax(dim=0).clamp(max=LABEL_THRESHOLD)
    presence = (scores / enough.clamp(min=torch.finfo(scores.dtype).tiny)).clamp(max=1)
    return presence.masked_fill(presence < MIN_PRESENCE, 0)
