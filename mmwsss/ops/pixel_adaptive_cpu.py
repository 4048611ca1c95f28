"""Pixel-adaptive weights, and one round of averaging with them, on the CPU by numba.

Row by row everything fits in the first-level caches, which tensor operations cannot arrange: one
core does the work of the averaging eight times as fast as with a multiply-add per neighbour over
whole images, and that of the weights four times.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .compiled import compiled
from .simd import exp, load, store

if TYPE_CHECKING:
    from .pixel_adaptive import ColourKernel

_LANES = (0,) * 8


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


@compiled()
def _add_distances(
    padded, shifts, reach, centres, width, epsilon, squared, y, inverse, mean, logits
):  # pragma: no cover - compiled
    """Subtract the distances of one channel ``padded`` and row ``y`` from ``logits`` (n, W')."""
    columns = len(mean)
    centre = padded[y + reach, reach : reach + columns]
    mean[:] = 0
    for n in range(len(shifts)):
        source = padded[y + shifts[n, 0], shifts[n, 1] : shifts[n, 1] + columns]
        for x in range(columns):
            mean[x] += source[x] - centre[x]
    samples = np.float32(len(shifts) + centres)
    for x in range(columns):
        mean[x] /= samples
        inverse[x] = centres * mean[x] * mean[x]
    for n in range(len(shifts)):
        source = padded[y + shifts[n, 0], shifts[n, 1] : shifts[n, 1] + columns]
        for x in range(columns):
            deviation = source[x] - centre[x] - mean[x]
            inverse[x] += deviation * deviation
    for x in range(columns):
        std = np.sqrt(inverse[x] / (samples - np.float32(1)))
        inverse[x] = np.float32(1) / (width * (std + epsilon))
    for n in range(len(shifts)):
        source = padded[y + shifts[n, 0], shifts[n, 1] : shifts[n, 1] + columns]
        line = logits[n]
        if squared:
            for x in range(columns):
                distance = (source[x] - centre[x]) * inverse[x]
                line[x] -= distance * distance
        else:
            for x in range(columns):
                line[x] -= abs(source[x] - centre[x]) * inverse[x]


@compiled()
def _softmax_columns(logits, factor, top, lanes):  # pragma: no cover - compiled
    """``exp(factor (logits - max))`` in place; ``top`` becomes the reciprocal of the sum."""
    columns = len(top)
    top[:] = logits[0, :columns]
    for n in range(1, len(logits)):
        for x in range(columns):
            top[x] = max(top[x], logits[n, x])
    for n in range(len(logits)):
        for x in range(columns):
            logits[n, x] = factor * (logits[n, x] - top[x])
    lines = logits.reshape(-1, len(lanes))
    for row in range(len(lines)):
        store(lines, row, exp(load(lines, row, lanes)))
    top[:] = 0
    for n in range(len(logits)):
        for x in range(columns):
            top[x] += logits[n, x]
    for x in range(columns):
        top[x] = np.float32(1) / top[x]


@compiled()
def _weight_rows(
    padded, shifts, reach, centres, width, epsilon, squared, offset, out, lanes, rows
):  # pragma: no cover - compiled
    """Fill ``out`` (B, n, H, W) for the flat (image, row) numbers in ``rows``."""
    count, height, columns = out.shape[1:]
    mean, inverse = np.empty(columns, np.float32), np.empty(columns, np.float32)
    blocks = -(-columns // len(lanes))
    logits = np.zeros((count, blocks * len(lanes)), np.float32)
    factor = np.float32(1 / padded.shape[1])
    for flat in range(rows[0], rows[1]):
        b, y = flat // height, flat % height
        logits[:] = 0
        for c in range(padded.shape[1]):
            _add_distances(
                padded[b, c], shifts, reach, centres, width, epsilon, squared, y,
                inverse, mean, logits,
            )  # fmt: skip
        _softmax_columns(logits, factor, inverse, lanes)
        for n in range(count):
            line, source = out[b, n, y], logits[n]
            for x in range(columns):
                line[x] = source[x] * inverse[x] + offset[n]


def _share_rows(kernel: Callable, count: int) -> None:
    """Call ``kernel(rows)`` for parts of ``count`` rows, in as many threads as torch uses."""
    threads = torch.get_num_threads()
    bounds = np.linspace(0, count, threads + 1).astype(np.int64).tolist()
    if threads == 1:
        kernel((0, count))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(kernel, pairwise(bounds)))


def weighted_neighbour_sum(
    padded: Tensor, shifts: list[tuple[int, int]], weights: Tensor
) -> Tensor:
    """``out[b, c, y, x] = sum_n weights[b, n, y, x] * padded[b, c, y + dy_n, x + dx_n]``.

    Args:
        padded: ``(B, C, H', W')`` float32 on the CPU.
        shifts: n pairs (dy, dx) >= 0.
        weights: ``(B, n, H, W)`` float32 on the CPU.

    Returns:
        ``(B, C, H, W)``.
    """
    batch, _, height, width = weights.shape
    out = torch.empty(batch, padded.shape[1], height, width)
    arrays = padded.contiguous().numpy(), weights.contiguous().numpy(), np.array(shifts)
    _share_rows(lambda rows: _sum_rows(*arrays, out.numpy(), rows), batch * height)
    return out


def colour_weights(
    padded: Tensor,
    shifts: list[tuple[int, int]],
    reach: int,
    kernel: ColourKernel,
    offset: Tensor,
) -> Tensor:
    """Softmax of the colour distances to the neighbours, plus an offset.

    Args:
        padded: Image with a border of ``reach``, ``(B, C, H', W')`` float32 on the CPU.
        shifts: n pairs (dy, dx) >= 0; (reach, reach) is the centre.
        kernel: See :class:`mmwsss.ops.pixel_adaptive.ColourKernel`.
        offset: ``(n,)``.

    Returns:
        ``(B, n, H, W)``.
    """
    height, width = (side - 2 * reach for side in padded.shape[-2:])
    out = torch.empty(len(padded), len(shifts), height, width)
    centres = len(shifts) // 8 if kernel.with_centre else 0
    args = (
        padded.contiguous().numpy(), np.array(shifts), reach, np.float32(centres),
        np.float32(kernel.width), np.float32(kernel.epsilon), kernel.power == 2,
        offset.numpy(), out.numpy(), _LANES,
    )  # fmt: skip
    _share_rows(lambda rows: _weight_rows(*args, rows), len(padded) * height)
    return out
