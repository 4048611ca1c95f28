"""Affinity between pixels at most a radius apart, its labels, its loss and its random walk.

Method: AffinityNet, Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level
Supervision for Weakly Supervised Semantic Segmentation", CVPR 2018, arXiv 1803.10464.

A *pair* is a "from" pixel and one of D = ``len(pair_offsets(radius))`` neighbours below it or on
its right. The from pixels, n in number, are those whose whole neighbourhood lies in the grid: all
rows but the last ``radius - 1`` and all columns but the outer ``radius - 1``. Pixels near the
border are therefore only ever neighbours, as in the official code. Values of pairs are ``(D, n)``,
from pixels in row-major order.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..threads import one_thread
from .cpu import (
    label_pairs,
    pair_distances,
    pair_distances_gradient,
    sum_logarithms,
    sum_logarithms_gradient,
    walk,
)

_EPSILON = 1e-5


class PairLabels(NamedTuple):
    """What is known about the pairs, bool ``(B, D, n)`` each; a pair may be in none.

    Attributes:
        background: Both pixels are background.
        foreground: Both pixels are of the same foreground class.
        negative: The pixels differ.
    """

    background: Tensor
    foreground: Tensor
    negative: Tensor


def pair_offsets(radius: int) -> list[tuple[int, int]]:
    """``(dy, dx)`` of the neighbours less than ``radius`` away, one of each opposite two."""
    reach = range(-(radius - 1), radius)
    right = [(0, dx) for dx in range(1, radius)]
    return right + [
        (dy, dx) for dy in range(1, radius) for dx in reach if dx * dx + dy * dy < radius * radius
    ]


def pair_views(maps: Tensor, radius: int) -> tuple[Tensor, list[Tensor]]:
    """Maps at the from pixels and, for every offset, at the neighbours; no copies.

    Args:
        maps: ``(..., h, w)``.

    Returns:
        ``(..., h - radius + 1, w - 2 * radius + 2)`` and D views of the same shape.

    Raises:
        ValueError: The grid has no from pixel.
    """
    h, w = maps.shape[-2:]
    margin = radius - 1
    rows, columns = h - margin, w - 2 * margin
    if radius < 2 or rows < 1 or columns < 1:
        raise ValueError(
            f'a {h}x{w} grid has no pairs of radius {radius}: the radius must be at least 2, the '
            'height at least the radius and the width at least 2 * radius - 1. Use a smaller '
            'radius (decode_head.shrink_radius=True does so for small images)'
        )

    def at(dy: int, dx: int) -> Tensor:
        return maps[..., dy : dy + rows, margin + dx : margin + dx + columns]

    return at(0, 0), [at(dy, dx) for dy, dx in pair_offsets(radius)]


def pair_indices(
    grid: tuple[int, int], radius: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Flat row-major indices of the from pixels ``(n,)`` and their neighbours ``(D, n)``."""
    h, w = grid
    source, targets = pair_views(torch.arange(h * w, device=device).view(h, w), radius)
    return source.flatten(), torch.stack(targets).flatten(1)


def _compiled(tensor: Tensor) -> bool:
    """Whether kernels of numba do the work, rather than tensor operations."""
    return tensor.device.type == 'cpu' and tensor.dtype in (torch.float32, torch.float64)


def _offset_array(radius: int) -> np.ndarray:
    return np.array(pair_offsets(radius), dtype=np.int64)


def _pairs_shape(maps: Tensor, radius: int) -> tuple[int, ...]:
    """``(B, D, rows, columns)`` of the pairs of maps ``(B, ..., h, w)``."""
    source, targets = pair_views(maps, radius)
    return len(maps), len(targets), *source.shape[-2:]


class _PairAffinity(torch.autograd.Function):
    """:func:`pixel_affinity` ``(B, D, rows, columns)``, one offset at a time in both directions.

    Autograd would keep the differences ``(B, C, D, n)``; only features and result are kept here.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, radius: int) -> Tensor:
        ctx.radius = radius
        if _compiled(features):
            affinity = _compiled_affinity(features, radius)
        else:
            affinity = _tensor_distances(features, radius).neg_().exp_()
        ctx.save_for_backward(features, affinity)
        return affinity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        features, affinity = ctx.saved_tensors
        if _compiled(features):
            return _compiled_gradient(features, affinity, ctx.radius, grad), None
        grad = grad * affinity / -features.shape[1]
        return _tensor_gradient(features, ctx.radius, grad), None


def _compiled_affinity(features: Tensor, radius: int) -> Tensor:
    maps = features.detach().contiguous().numpy()
    affinity = np.empty(_pairs_shape(features, radius), maps.dtype)
    pair_distances(maps, _offset_array(radius), radius - 1, affinity)
    return torch.from_numpy(np.exp(np.negative(affinity, out=affinity), out=affinity))


def _compiled_gradient(features: Tensor, affinity: Tensor, radius: int, grad: Tensor) -> Tensor:
    maps = features.contiguous().numpy()
    out = np.zeros_like(maps)
    grad = grad.numpy() * affinity.numpy() / maps.dtype.type(-maps.shape[1])
    pair_distances_gradient(maps, _offset_array(radius), radius - 1, grad, out)
    return torch.from_numpy(out)


def _tensor_distances(features: Tensor, radius: int) -> Tensor:
    """Distances ``(B, D, rows, columns)`` on any device."""
    source, targets = pair_views(features, radius)
    return torch.stack([(source - target).abs().mean(dim=1) for target in targets], dim=1)


def _tensor_gradient(features: Tensor, radius: int, grad: Tensor) -> Tensor:
    """Gradient of :func:`_tensor_distances`, times the channels, from that of its result."""
    out = torch.zeros_like(features)
    source, targets = pair_views(features, radius)
    source_grad, target_grads = pair_views(out, radius)
    for i, (target, target_grad) in enumerate(zip(targets, target_grads, strict=True)):
        step = (source - target).sign_().mul_(grad[:, i, None])
        source_grad += step
        target_grad -= step
    return out


def pixel_affinity(features: Tensor, radius: int) -> Tensor:
    """``a_ij = exp(-mean_c |f_i(c) - f_j(c)|)`` of every pair (equation 1), in float32.

    Args:
        features: ``(B, C, h, w)``.

    Returns:
        ``(B, D, n)`` in (0, 1].
    """
    return _PairAffinity.apply(features.float(), radius).flatten(2)


def pair_labels(label: Tensor, radius: int, ignore_index: int = 255) -> PairLabels:
    """What a label map on the grid of the features says about the pairs (section 3.2).

    Args:
        label: ``(B, h, w)`` integer: 0 background, other values classes, ``ignore_index``.
    """
    if label.device.type != 'cpu':
        return _tensor_labels(label, radius, ignore_index)
    pairs = np.empty((3, *_pairs_shape(label, radius)), np.bool_)
    cells = label.long().contiguous().numpy()
    label_pairs(cells, _offset_array(radius), radius - 1, ignore_index, pairs)
    return PairLabels(*torch.from_numpy(pairs).flatten(3))


def _tensor_labels(label: Tensor, radius: int, ignore_index: int) -> PairLabels:
    """:func:`pair_labels` on any device."""
    source, targets = pair_views(label, radius)
    source, target = source.flatten(1)[:, None], torch.stack(targets, dim=1).flatten(2)
    known = (source != ignore_index) & (target != ignore_index)
    same = known & (source == target)
    return PairLabels(same & (source == 0), same & (source != 0), known & (source != target))


class _PairLoss(torch.autograd.Function):
    """:func:`pair_affinity_loss` on the CPU."""

    @staticmethod
    def forward(ctx: Any, affinity: Tensor, *labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.shape = affinity.shape
        flat = affinity.detach().contiguous().view(-1).numpy()
        pairs = tuple(p.expand_as(affinity).contiguous().view(-1).numpy() for p in labels)
        bounds = np.array([_EPSILON, 1 + _EPSILON], flat.dtype)
        sums, counts = np.zeros(3), np.zeros(3)
        sum_logarithms(flat, pairs, bounds, sums, counts)
        ctx.arrays, ctx.factors = (flat, pairs, bounds), -1 / (counts + _EPSILON)
        return tuple(torch.from_numpy(sums * ctx.factors).to(affinity.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        out = np.empty_like(ctx.arrays[0])
        factors = torch.stack(grads).double().numpy() * ctx.factors
        sum_logarithms_gradient(*ctx.arrays, factors.astype(out.dtype), out)
        return torch.from_numpy(out).view(ctx.shape), None, None, None


def pair_affinity_loss(affinity: Tensor, labels: PairLabels) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of background, foreground and negative pairs (equations 3 to 5).

    Each is a mean over its pairs in the whole batch, ``-sum(log(a + 1e-5)) / (count + 1e-5)``
    with ``1 - a`` in place of ``a`` for the negative ones; 0 if there is no such pair. The method
    weights them 1/4, 1/4 and 1/2.

    Args:
        affinity: ``(B, D, n)`` in (0, 1].

    Returns:
        The three scalars.
    """
    return (
        _PairLoss.apply(affinity, *labels)
        if _compiled(affinity)
        else _tensor_loss(affinity, labels)
    )


def _tensor_loss(affinity: Tensor, labels: PairLabels) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`pair_affinity_loss` on any device."""

    def mean_over(log: Tensor, pairs: Tensor) -> Tensor:
        return -(log * pairs).sum() / (pairs.sum() + _EPSILON)

    close, apart = (affinity + _EPSILON).log(), (1 + _EPSILON - affinity).log()
    return (
        mean_over(close, labels.background),
        mean_over(close, labels.foreground),
        mean_over(apart, labels.negative),
    )


@one_thread()
def fuse_low_high(low: Tensor, high: Tensor, pool: int = 8, ignore_index: int = 255) -> Tensor:
    """Confident label map from scores under a low and a high background exponent (section 3.2).

    The scores are average-pooled, then: foreground where the best low score is foreground,
    background where the best high score is background, ``ignore_index`` elsewhere and where all
    scores are 0 (outside of the image).

    Args:
        low, high: ``(1 + K, H, W)``, background first; H and W multiples of ``pool``.

    Returns:
        int64 ``(H / pool, W / pool)``: 0, 1..K (place among the given classes), ``ignore_index``.

    Raises:
        ValueError: The two differ in shape, or the size is no multiple of ``pool``.
    """
    if low.shape != high.shape or low.shape[-2] % pool or low.shape[-1] % pool:
        raise ValueError(
            f'low and high scores have the shapes {tuple(low.shape)} and {tuple(high.shape)}: they '
            f'must be equal, with height and width multiples of {pool}'
        )
    low, high = (F.avg_pool2d(scores.float()[None], pool)[0] for scores in (low, high))
    label = low.max(dim=0).indices
    label[label == 0] = ignore_index
    label[high.max(dim=0).indices == 0] = 0
    label[torch.maximum(low, high).amax(dim=0) < 1e-5] = ignore_index
    return label


def dense_affinity(affinity: Tensor, grid: tuple[int, int], radius: int) -> Tensor:
    """Symmetric matrix of the pairs' affinities: 1 on the diagonal, 0 for all other pairs.

    Args:
        affinity: ``(B, D, n)``.

    Returns:
        ``(B, h*w, h*w)``.
    """
    source, target = pair_indices(grid, radius, affinity.device)
    source = source.expand_as(target)
    matrix = torch.eye(grid[0] * grid[1], dtype=affinity.dtype, device=affinity.device)
    matrix = matrix.repeat(len(affinity), 1, 1)
    matrix[:, source, target] = affinity
    matrix[:, target, source] = affinity
    return matrix


def transition_power(matrix: Tensor, beta: float = 8, logt: int = 8) -> Tensor:
    """``T ** (2 ** logt)`` with ``T = A^beta / column sums``, by squaring (equations 6 and 7).

    :func:`random_walk` gives the same scores with a fraction of the work; this is for those who
    need the matrix itself.

    Args:
        matrix: Affinity ``(B, N, N)``, symmetric, with positive column sums.

    Returns:
        ``(B, N, N)``; scores ``(B, K, N)`` walk by ``scores @ T``.
    """
    power = matrix**beta
    power = power / power.sum(dim=-2, keepdim=True)
    for _ in range(logt):
        power = power @ power
    return power


def _sparse_transition(affinity: Tensor, grid: tuple[int, int], radius: int, beta: float) -> Tensor:
    """The transposed transition matrices of a batch as the blocks of one CSR matrix."""
    batch, num_pixels = len(affinity), grid[0] * grid[1]
    source, target = pair_indices(grid, radius, affinity.device)
    source, target = source.expand_as(target).flatten(), target.flatten()
    diagonal = torch.arange(num_pixels, device=affinity.device)
    rows = torch.cat([source, target, diagonal])
    columns = torch.cat([target, source, diagonal])
    pairs = affinity.flatten(1) ** beta
    weights = torch.cat([pairs, pairs, pairs.new_ones(batch, num_pixels)], dim=1)
    sums = pairs.new_zeros(batch, num_pixels).index_add_(1, rows, weights)
    weights = weights / sums[:, rows]
    start = num_pixels * torch.arange(batch, device=affinity.device)[:, None]
    indices = torch.stack([(start + rows).flatten(), (start + columns).flatten()])
    size = (batch * num_pixels,) * 2
    matrix = torch.sparse_coo_tensor(indices, weights.flatten(), size, check_invariants=False)
    with warnings.catch_warnings():  # PyTorch calls its CSR format beta, once per process
        warnings.filterwarnings('ignore', message='Sparse CSR tensor support')
        return matrix.to_sparse_csr()


def random_walk(
    scores: Tensor, affinity: Tensor, radius: int, beta: float = 8, logt: int = 8
) -> Tensor:
    """Propagate scores with ``2 ** logt`` steps of a random walk on the affinities (section 3.3).

    The same product as ``scores @ transition_power(dense_affinity(...))``, associated from the
    left: the matrix has at most 2 D + 1 entries per column and there are few rows of scores, so
    stepping costs a small part of squaring an N x N matrix ``logt`` times. Computed in float64: in
    float32 the rounding of the column sums adds up over the steps.

    Args:
        scores: ``(B, K, h, w)``.
        affinity: ``(B, D, n)`` of the pairs of the same grid.
        beta: Exponent of the affinities; sharpens them.
        logt: Binary logarithm of the number of steps.

    Returns:
        ``(B, K, h, w)`` float32.
    """
    return random_walks(scores, affinity, radius, beta, (logt,))[0]


def random_walks(
    scores: Tensor, affinity: Tensor, radius: int, beta: float, logts: Sequence[int]
) -> Tensor:
    """:func:`random_walk` of several lengths for the work of the longest: they lie on its way.

    Args:
        scores, affinity, radius, beta: As there. Every row of scores walks by itself.
        logts: Binary logarithms of the numbers of steps, in any order.

    Returns:
        ``(len(logts), B, K, h, w)`` float32.
    """
    stops = sorted({2**logt for logt in logts})
    differentiable = torch.is_grad_enabled() and (scores.requires_grad or affinity.requires_grad)
    if scores.device.type != 'cpu' or differentiable:
        walked = _tensor_walk(scores, affinity, radius, beta, stops)
    else:
        pairs = affinity.detach().reshape(_pairs_shape(scores, radius))
        walked = walk(scores.detach(), pairs, _offset_array(radius), beta, stops)
    return walked[[stops.index(2**logt) for logt in logts]]


def _tensor_walk(
    scores: Tensor, affinity: Tensor, radius: int, beta: float, stops: Sequence[int]
) -> Tensor:
    """``(S, B, K, h, w)`` after each of the increasing numbers of steps, on any device."""
    transition = _sparse_transition(affinity.double(), scores.shape[-2:], radius, beta)
    columns = scores.double().flatten(2).transpose(1, 2).flatten(0, 1)  # (B * N, K)
    walked = []
    for step in range(1, stops[-1] + 1):
        columns = transition @ columns
        if step in stops:
            rows = columns.unflatten(0, (len(scores), -1)).transpose(1, 2)
            walked.append(rows.reshape(scores.shape).float())
    return torch.stack(walked)
