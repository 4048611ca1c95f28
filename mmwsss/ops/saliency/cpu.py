"""Counting the pixels of 8-bit maps on the CPU by numba, in one pass."""

import numpy as np
import torch
from torch import Tensor

from ..kernels.compiled import compiled


@compiled(fastmath=False)
def _count(maps, saliency, truth, place, bins, counts):  # pragma: no cover - compiled
    for p in range(len(truth)):
        row = place[truth[p]]
        if row < 0:
            continue
        best, slot = maps[0, p], 0
        for k in range(1, len(maps)):
            if maps[k, p] > best:
                best, slot = maps[k, p], k
        counts[row, slot, bins[best, saliency[p]]] += 1


def count_bytes(
    maps: Tensor, saliency: Tensor | None, truth: Tensor, place: Tensor, bins: Tensor, size: tuple
) -> Tensor:
    """Count pixels by truth, strongest map (the first wins a tie), and bin of the two bytes.

    Args:
        maps: ``(K, H, W)`` uint8 on the CPU; of none, every pixel has 0 of a first one.
        saliency: ``(H, W)`` uint8; None: 0 everywhere.
        truth: ``(H, W)`` uint8.
        place: ``(256,)`` int64: row of each truth, -1 for those that are not counted.
        bins: ``(256, 256)`` int64: bin of an activation and a saliency.
        size: Rows, maps, and bins of the result.

    Returns:
        int64 of that size.
    """
    nothing = np.zeros((1, truth.numel()), np.uint8)
    values = maps.flatten(1).contiguous().numpy() if len(maps) else nothing
    salient = nothing[0] if saliency is None else saliency.flatten().contiguous().numpy()
    counts = np.zeros(size, np.int64)
    _count(values, salient, truth.flatten().numpy(), place.numpy(), bins.numpy(), counts)
    return torch.from_numpy(counts)
