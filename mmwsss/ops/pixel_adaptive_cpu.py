"""One round of pixel-adaptive averaging on the CPU, compiled by numba.

Row by row everything fits in the first-level cache, which tensor operations cannot arrange: one
core does the work eight times as fast as with a multiply-add per neighbour over whole images.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .compiled import compiled


@compiled()
def _sum_rows(padded, weights, shifts, out, rows):  # pragma: no cover - compiled
    """Fill ``out`` for the flat (image, row) numbers in ``rows``."""
    channels, height, width = out.shape[1:]
    total = np.empty((channels, width), dtype=np.float32)
    for flat in range(rows[0], rows[1]):
        b, y = flat // height, flat % height
        total[:] = 0
        for n in range(len(shifts)):
            top, left = y + shifts[n, 0], shifts[n, 1]
            weight = weights[b, n, y]
            for c in range(channels):
                source = padded[b, c, top, left : left + width]
                line = total[c]
                for x in range(width):
                    line[x] += weight[x] * source[x]
        out[b, :, y] = total


def weighted_neighbour_sum(
    padded: Tensor, weights: Tensor, shifts: list[tuple[int, int]]
) -> Tensor:
    """``out[b, c, y, x] = sum_n weights[b, n, y, x] * padded[b, c, y + dy_n, x + dx_n]``.

    Uses as many threads as torch does.

    Args:
        padded: ``(B, C, H', W')`` float32 on the CPU.
        weights: ``(B, n, H, W)`` float32 on the CPU.
        shifts: n pairs (dy, dx) >= 0.

    Returns:
        ``(B, C, H, W)``.
    """
    batch, _, height, width = weights.shape
    out = torch.empty(batch, padded.shape[1], height, width)
    arrays = padded.contiguous().numpy(), weights.contiguous().numpy(), np.array(shifts)
    threads = torch.get_num_threads()
    bounds = np.linspace(0, batch * height, threads + 1).astype(np.int64)
    jobs = [(*arrays, out.numpy(), (int(a), int(b))) for a, b in pairwise(bounds)]
    if threads == 1:
        _sum_rows(*jobs[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda job: _sum_rows(*job), jobs))
    return out
