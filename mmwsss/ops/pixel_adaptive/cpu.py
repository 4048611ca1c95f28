"""Pixel-adaptive weights, and rounds of averaging with them, on the CPU by numba.

Row by row everything fits in the first-level caches, which tensor operations cannot arrange: one
core does the work of the averaging eight times as fast as with a multiply-add per neighbour over
whole images, and that of the weights four times.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..kernels.compiled import compiled
from ..kernels.simd import exp, load, store
from .kernel import ColourKernel

_LANES = (0,) * 8
_ROWS = 32  # that a thread computes the weights of at a time
_GRAIN = 2**24  # multiplications, some milliseconds, that are worth a thread


@compiled({'contract'})
def _fill_border(padded, reach):  # pragma: no cover - compiled
    """Replicate the edges of the inner part of ``padded`` (C, H', W')."""
    height, width = padded.shape[1] - 2 * reach, padded.shape[2] - 2 * reach
    for c in range(len(padded)):
        for y in range(reach, reach + height):
            line = padded[c, y]
            line[:reach] = line[reach]
            line[reach + width :] = line[reach + width - 1]
        for y in range(reach):
            padded[c, y] = padded[c, reach]
            padded[c, reach + height + y] = padded[c, reach + height - 1]


@compiled({'contract'})
def _average_rounds(masks, weights, shifts, reach, rounds, out):  # pragma: no cover - compiled
    """Average ``masks`` (C, H, W) of one image with ``weights`` (n, H, W) into ``out``."""
    channels, height, width = masks.shape
    now = np.empty((channels, height + 2 * reach, width + 2 * reach), np.float32)
    after, total = np.empty_like(now), np.empty((channels, width), np.float32)
    now[:, reach : reach + height, reach : reach + width] = masks
    for _ in range(rounds):
        _fill_border(now, reach)
        for y in range(height):
            total[:] = 0
            for n in range(len(shifts)):
                top, left = y + shifts[n, 0], shifts[n, 1]
                weight = weights[n, y]
                for c in range(channels):
                    source = now[c, top, left : left + width]
                    line = total[c]
                    for x in range(width):
                        line[x] += weight[x] * source[x]
            after[:, reach + y, reach : reach + width] = total
        now, after = after, now
    out[:] = now[:, reach : reach + height, reach : reach + width]


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


def _share(kernel: Callable, parts: list, work: int) -> None:
    """Call ``kernel(*part)`` for all parts, in as many threads as torch uses if it is worth it.

    Args:
        work: Multiplications of all parts together.
    """
    threads = min(torch.get_num_threads(), len(parts), max(work // _GRAIN, 1))
    if threads <= 1:
        for part in parts:
            kernel(*part)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(kernel, *zip(*parts, strict=True)))


def average_rounds(
    masks: Tensor, weights: Tensor, shifts: list[tuple[int, int]], reach: int, rounds: int
) -> Tensor:
    """``mask[y, x] <- sum_n weights[n, y, x] * mask[y + dy_n, x + dx_n]``, several times.

    Threads never wait for each other: each does all rounds of an image, or of some of its channels
    if there are more threads than images.

    Args:
        masks: ``(B, C, H, W)`` float32 on the CPU.
        weights: ``(B, n, H, W)`` float32 on the CPU.
        shifts: n pairs (dy, dx) >= 0; (reach, reach) is the centre.
        reach: Width of the border, which replicates the edge.
        rounds: How often.

    Returns:
        ``(B, C, H, W)``.
    """
    out = torch.empty(masks.shape)
    source, target = masks.contiguous().numpy(), out.numpy()
    factors, starts = weights.detach().float().contiguous().numpy(), np.array(shifts)

    def run(image: int, channels: slice) -> None:
        result = target[image, channels]
        _average_rounds(source[image, channels], factors[image], starts, reach, rounds, result)

    groups = -(-torch.get_num_threads() // max(len(masks), 1))
    bounds = np.linspace(0, masks.shape[1], min(groups, masks.shape[1]) + 1).astype(int).tolist()
    parts = [(image, slice(*ends)) for image in range(len(masks)) for ends in pairwise(bounds)]
    _share(run, parts, rounds * masks.numel() * len(shifts))
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
        kernel: See :class:`mmwsss.ops.pixel_adaptive.kernel.ColourKernel`.
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
    rows = len(padded) * height
    parts = [((start, min(start + _ROWS, rows)),) for start in range(0, rows, _ROWS)]
    _share(partial(_weight_rows, *args), parts, 3 * padded.shape[1] * out.numel())
    return out
