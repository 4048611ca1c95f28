"""Affinities of near pixels, their labels, loss and random walk on the CPU by numba.

Each is one call for a whole batch, on one thread: as tensor operations the walk alone is 256 small
steps, which wait for each other's threads. NaN values spread as in tensor operations.

Arrays of pairs are ``(B, D, rows, columns)``: the from pixels on their grid, which begins at
column ``margin``. ``offsets`` is int64 ``(D, 2)``, all (dy, dx) with dy >= 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..kernels.compiled import compiled

_FUSED = {'contract'}  # multiply-add; the loops need no more to be vectorised
_BLOCK = 32  # channels whose differences are added up apart, against rounding


@compiled(_FUSED)
def pair_distances(  # pragma: no cover - compiled
    features: np.ndarray, offsets: np.ndarray, margin: int, out: np.ndarray
) -> None:
    """Fill ``out`` with the mean absolute difference of ``features`` (B, C, h, w) of each pair."""
    channels = features.shape[1]
    batch, _, rows, columns = out.shape
    part = np.empty((len(offsets), columns), features.dtype)
    total = np.empty_like(part)
    for b in range(batch):
        for y in range(rows):
            total[:] = 0
            for start in range(0, channels, _BLOCK):
                part[:] = 0
                for c in range(start, min(start + _BLOCK, channels)):
                    source = features[b, c, y, margin : margin + columns]
                    for d in range(len(offsets)):
                        left = margin + offsets[d, 1]
                        target = features[b, c, y + offsets[d, 0], left : left + columns]
                        line = part[d]
                        for x in range(columns):
                            line[x] += abs(source[x] - target[x])
                total += part
            for d in range(len(offsets)):
                line, source = out[b, d, y], total[d]
                for x in range(columns):
                    line[x] = source[x] / channels


@compiled(_FUSED)
def pair_distances_gradient(  # pragma: no cover - compiled
    features: np.ndarray, offsets: np.ndarray, margin: int, grad: np.ndarray, out: np.ndarray
) -> None:
    """Add to ``out`` the gradient of :func:`pair_distances` from that of its result."""
    batch, channels = features.shape[:2]
    rows, columns = grad.shape[2:]
    step, total = np.empty(columns, features.dtype), np.empty(columns, features.dtype)
    for b in range(batch):
        for c in range(channels):
            for y in range(rows):
                source = features[b, c, y, margin : margin + columns]
                total[:] = 0
                for d in range(len(offsets)):
                    below, left = y + offsets[d, 0], margin + offsets[d, 1]
                    target = features[b, c, below, left : left + columns]
                    line = grad[b, d, y]
                    for x in range(columns):
                        up, down = source[x] > target[x], source[x] < target[x]
                        step[x] = line[x] if up else (-line[x] if down else line[x] * 0)
                    for x in range(columns):
                        total[x] += step[x]
                    line = out[b, c, below, left : left + columns]
                    for x in range(columns):
                        line[x] -= step[x]
                line = out[b, c, y, margin : margin + columns]
                for x in range(columns):
                    line[x] += total[x]


@compiled(_FUSED)
def label_pairs(  # pragma: no cover - compiled
    label: np.ndarray, offsets: np.ndarray, margin: int, ignore: int, out: np.ndarray
) -> None:
    """Fill the bool arrays ``out`` (3, B, D, rows, columns): background, foreground, negative."""
    batch, _, rows, columns = out.shape[1:]
    for b in range(batch):
        for d in range(len(offsets)):
            left = margin + offsets[d, 1]
            for y in range(rows):
                source = label[b, y, margin : margin + columns]
                target = label[b, y + offsets[d, 0], left : left + columns]
                background, foreground, negative = out[0, b, d, y], out[1, b, d, y], out[2, b, d, y]
                for x in range(columns):
                    known = (source[x] != ignore) & (target[x] != ignore)
                    same = known & (source[x] == target[x])
                    background[x] = same & (source[x] == 0)
                    foreground[x] = same & (source[x] != 0)
                    negative[x] = known & (source[x] != target[x])


@compiled(_FUSED)
def sum_logarithms(  # pragma: no cover - compiled
    affinity: np.ndarray,
    labels: Sequence[np.ndarray],
    bounds: np.ndarray,
    sums: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Add up log(a + e) of background and foreground, log(1 + e - a) of negative pairs.

    Args:
        affinity: ``(P,)``.
        labels: Three bool arrays ``(P,)``.
        bounds: (e, 1 + e) in the type of the affinities.
        sums, counts: Zeros ``(3,)``, which get the result.
    """
    for part in range(3):
        pairs = labels[part]
        for i in range(len(affinity)):
            if pairs[i]:
                close = affinity[i] + bounds[0] if part < 2 else bounds[1] - affinity[i]
                sums[part] += np.log(close)
                counts[part] += 1


@compiled(_FUSED)
def sum_logarithms_gradient(  # pragma: no cover - compiled
    affinity: np.ndarray,
    labels: Sequence[np.ndarray],
    bounds: np.ndarray,
    factors: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (P,) with the gradient of ``factors @ sums`` of :func:`sum_logarithms`."""
    for i in range(len(affinity)):
        close = factors[0] * labels[0][i] + factors[1] * labels[1][i]
        apart = factors[2] * labels[2][i]
        out[i] = close / (affinity[i] + bounds[0]) - apart / (bounds[1] - affinity[i])


@compiled(_FUSED)
def _walk(scores, weights, offsets, margin, stops, out):  # pragma: no cover - compiled
    """Fill ``out`` (S, K, h, w) with an image's scores after each number of steps in ``stops``.

    Args:
        scores: ``(K, h, w)``, which is overwritten.
        weights: ``(D, rows, columns)``, symmetric.
        stops: ``(S,)``, increasing.
    """
    channels, h, w = scores.shape
    _, rows, columns = weights.shape
    share = np.ones((h, w))  # one over the sums of the columns; the diagonal is 1
    for d in range(len(offsets)):
        dy, left = offsets[d, 0], margin + offsets[d, 1]
        share[:rows, margin : margin + columns] += weights[d]
        share[dy : dy + rows, left : left + columns] += weights[d]
    share = 1 / share
    now, after, line = scores, np.empty_like(scores), np.empty((channels, w))
    reached = 0
    for step in range(1, stops[-1] + 1):
        for y in range(h):
            for k in range(channels):
                line[k] = now[k, y]
            for d in range(len(offsets)):
                dy, left = offsets[d, 0], margin + offsets[d, 1]
                if y < rows:  # from pixels hear their neighbours
                    weight = weights[d, y]
                    for k in range(channels):
                        source = now[k, y + dy, left : left + columns]
                        target = line[k, margin : margin + columns]
                        for x in range(columns):
                            target[x] += weight[x] * source[x]
                if 0 <= y - dy < rows:  # and neighbours the from pixels
                    weight = weights[d, y - dy]
                    for k in range(channels):
                        source = now[k, y - dy, margin : margin + columns]
                        target = line[k, left : left + columns]
                        for x in range(columns):
                            target[x] += weight[x] * source[x]
            for k in range(channels):
                source, target = line[k], after[k, y]
                for x in range(w):
                    target[x] = source[x] * share[y, x]
        now, after = after, now
        if step == stops[reached]:
            out[reached] = now
            reached += 1


def walk(
    scores: Tensor, affinity: Tensor, offsets: np.ndarray, beta: float, stops: Sequence[int]
) -> Tensor:
    """Random walk of scores on the affinities of pairs, in float64.

    Args:
        scores: ``(B, K, h, w)``.
        affinity: ``(B, D, rows, columns)``.
        offsets: See the module.
        beta: Exponent of the affinities.
        stops: Numbers of steps, increasing.

    Returns:
        ``(S, B, K, h, w)`` float32, the scores after each of them.
    """
    margin = (scores.shape[-1] - affinity.shape[-1]) // 2
    out = torch.empty(len(scores), len(stops), *scores.shape[1:])
    for image, walked in enumerate(out.numpy()):
        start, weights = scores[image].double().numpy(), affinity[image].double().numpy() ** beta
        _walk(np.array(start, order='C'), weights, offsets, margin, np.array(stops), walked)
    return out.transpose(0, 1)
