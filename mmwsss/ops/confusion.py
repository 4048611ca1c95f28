"""Confusion matrices, the scores read from them, and the background-threshold sweep.

A *confusion matrix* here is int64 of shape ``(n, n + 1)``: ``matrix[g, p]`` counts the pixels of
truth ``g`` predicted as ``p``; the spare last column counts the predictions outside ``0..n-1``
(the ignore label of pseudo masks). Matrices of images, batches and processes add up; scores are
only ever read from the sum over the whole data set.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .threads import one_thread

EMPTY_CONVENTIONS = ('nanmean', 'gt_present', 'zero')
PRED_IGNORE_CONVENTIONS = ('miss', 'exclude', 'background')


@one_thread()
def confusion_matrix(
    pred: Tensor, truth: Tensor, num_classes: int, ignore_index: int = 255
) -> Tensor:
    """Count every pixel once by its truth and its prediction.

    Args:
        pred: Integer class indices of any shape.
        truth: Integer class indices of the same shape, on the same device. Pixels that are
            ``ignore_index`` or outside ``0..num_classes-1`` are not counted.
        num_classes: ``n``, background included.
        ignore_index: Truth value to leave out.

    Returns:
        ``(n, n + 1)`` int64; the last column holds the predictions outside ``0..n-1``.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> confusion_matrix(torch.tensor([0, 1, 255]), torch.tensor([0, 0, 1]), 2)
        tensor([[1, 1, 0],
                [0, 0, 1]])
    """
    if pred.shape != truth.shape:
        raise ValueError(
            f'prediction of shape {tuple(pred.shape)} cannot be compared with '
            f'truth of shape {tuple(truth.shape)}'
        )
    n, spare = num_classes, num_classes * (num_classes + 1)
    # Comparing uint8 with n > 255 would wrap n.
    truth, pred = (x.short() if x.element_size() == 1 else x for x in (truth, pred))
    # Small keys halve the time. Values that overflow belong to pixels that are masked anyway.
    dtype = torch.int16 if spare < 2**15 else torch.int32
    predicted = torch.where((pred >= 0) & (pred < n), pred.to(dtype), n)
    keys = truth.to(dtype) * (n + 1) + predicted
    keys = keys.masked_fill(~_countable(truth, n, ignore_index), spare)
    return torch.bincount(keys.flatten(), minlength=spare + 1)[:-1].reshape(n, n + 1)


def strange_values(labels: Tensor, num_classes: int, ignore_index: int = 255) -> list[int]:
    """The first few values of a label map that are neither a class nor ignored, sorted.

    Args:
        labels: Integer label map of any shape.
        num_classes: ``n``, background included.
        ignore_index: The value besides ``0..n-1`` that is allowed.

    Returns:
        At most ten values.

    Example:
        >>> strange_values(torch.tensor([0, 1, 255, 101, -1]), 2)
        [-1, 101]
    """
    # Comparing uint8 with n > 255 would wrap n.
    labels = labels.short() if labels.element_size() == 1 else labels
    strange = ((labels < 0) | (labels >= num_classes)) & (labels != ignore_index)
    return labels[strange].unique()[:10].tolist()


@one_thread()
def segmentation_scores(
    matrix: Tensor, empty: str = 'nanmean', pred_ignore: str = 'miss'
) -> dict[str, Tensor]:
    """Read all scores from a confusion matrix, as fractions in [0, 1].

    With T = truth, P = predicted and TP = correct pixels of a class and U = T + P - TP:
    ``iou`` = TP/U, ``fp`` = (P-TP)/U and ``fn`` = (T-TP)/U (their sum is 1), ``precision`` = TP/P,
    ``recall`` = TP/T, each ``(..., n)`` and NaN where its denominator is 0.

    Args:
        matrix: ``(..., n, n + 1)`` counts of :func:`confusion_matrix`.
        empty: Which classes enter the means of IoU, FP and FN: ``'nanmean'`` those with U > 0,
            ``'gt_present'`` those with T > 0, ``'zero'`` all, counting 0 for those with U = 0.
        pred_ignore: What a prediction of the spare column is: ``'miss'`` a wrong pixel of no
            class, ``'exclude'`` not counted at all, ``'background'`` class 0.

    Returns:
        The per-class scores above; their means ``miou``, ``mean_fp``, ``mean_fn`` and the same
        without class 0 ``miou_fg``, ``mean_fp_fg``, ``mean_fn_fg``; ``pixel_acc``, ``mean_acc``;
        ``coverage``, the share of predictions inside ``0..n-1``; ``predfg_on_bg``, the share of
        predicted foreground whose truth is background; ``truth_pixels``, the counts T. Means
        over nothing are NaN.

    Raises:
        ValueError: Unknown convention or a matrix of another shape.
    """
    if empty not in EMPTY_CONVENTIONS:
        raise ValueError(f'empty={empty!r} is not one of {EMPTY_CONVENTIONS}')
    square, spare = _split_spare(matrix)
    outside = spare.sum(-1).double() / matrix.sum((-2, -1))
    square, spare = _settle_spare(square, spare, pred_ignore)
    square, spare = square.double(), spare.double()
    hit = square.diagonal(dim1=-2, dim2=-1)
    truth = square.sum(-1) + spare
    predicted = square.sum(-2)
    union = truth + predicted - hit
    counted = {'nanmean': union > 0, 'gt_present': truth > 0}.get(empty)
    scores = {
        'iou': hit / union,
        'fp': (predicted - hit) / union,
        'fn': (truth - hit) / union,
        'precision': hit / predicted,
        'recall': hit / truth,
        'pixel_acc': hit.sum(-1) / truth.sum(-1),
        'coverage': 1 - outside,
        'predfg_on_bg': square[..., 0, 1:].sum(-1) / predicted[..., 1:].sum(-1),
        'truth_pixels': truth.long(),
    }
    scores['mean_acc'] = scores['recall'].nanmean(-1)
    for name, source in (('miou', 'iou'), ('mean_fp', 'fp'), ('mean_fn', 'fn')):
        scores[name] = _class_mean(scores[source], counted)
        foreground = None if counted is None else counted[..., 1:]
        scores[f'{name}_fg'] = _class_mean(scores[source][..., 1:], foreground)
    return scores


@one_thread()
def threshold_histogram(
    cam: Tensor,
    labels: Tensor,
    truth: Tensor,
    thresholds: Tensor,
    num_classes: int,
    ignore_index: int = 255,
) -> Tensor:
    """One pass over an image that serves every background threshold at once.

    Of the maps only the largest value m and its class c matter: at the threshold t the seed is c
    where m > t, else background (a tie is background, as in an argmax over [t, cams]).

    Args:
        cam: ``(K, H, W)`` activation maps of the present classes; K may be 0.
        labels: ``(K,)`` 0-based foreground indices; class ``labels[i] + 1`` of the truth.
        truth: ``(H, W)`` class indices, as in :func:`confusion_matrix`.
        thresholds: ``(T,)`` increasing. Compared in the dtype of ``cam``.
        num_classes: ``n``, background included.
        ignore_index: Truth value to leave out.

    Returns:
        ``(n, n, T + 1)`` int64: pixels by truth, class c and the number of thresholds below m.
        Histograms of images add up; :func:`sweep_matrices` turns the sum into matrices.

    Raises:
        ValueError: Sizes that do not fit, labels outside ``0..n-2``, thresholds that do not
            increase, or maps that are not finite.
    """
    _check_sweep_input(cam, labels, truth, thresholds, num_classes)
    n, steps = num_classes, len(thresholds) + 1
    truth = truth.long()
    if len(labels):
        best, index = cam.max(dim=0)
        if not torch.isfinite(best).all():
            raise ValueError('the activation maps hold values that are not finite')
        work = torch.promote_types(cam.dtype, torch.float32)
        edges = thresholds.to(cam).to(work)
        above = torch.bucketize(best.to(work), edges)
        predicted = labels.to(index)[index] + 1
    else:
        above = predicted = torch.zeros_like(truth)
    keys = (truth * n + predicted) * steps + above
    keys = torch.where(_countable(truth, n, ignore_index), keys, n * n * steps)
    counts = torch.bincount(keys.flatten(), minlength=n * n * steps + 1)
    return counts[:-1].reshape(n, n, steps)


@one_thread()
def sweep_matrices(histogram: Tensor) -> Tensor:
    """Confusion matrices ``(T, n, n + 1)`` of all thresholds from a ``(n, n, T + 1)`` histogram."""
    reached = histogram.flip(-1).cumsum(-1).flip(-1)[..., 1:].permute(2, 0, 1)
    matrices = torch.nn.functional.pad(reached, (0, 1))
    matrices[..., 0] = histogram.sum((1, 2)) - reached[..., 1:].sum(-1)
    return matrices


def power_to_threshold(powers: Sequence[float]) -> Tensor:
    """Constant thresholds that decide like the power backgrounds ``(1 - m) ** a``.

    m > (1 - m)^a exactly when m is above the root r of r = (1 - r)^a, which lies in (0, 1) and
    falls with a; found by bisection.

    Args:
        powers: Positive exponents a, in any order.

    Returns:
        float64 roots in the order of ``powers`` (a = 1, 2, 4: 0.5, 0.381966, 0.275508).
    """
    a = torch.as_tensor(powers, dtype=torch.float64)
    if not (a > 0).all() or a.isinf().any():
        raise ValueError(f'powers must be positive and finite, got {a.tolist()}')
    low, high = torch.zeros_like(a), torch.ones_like(a)
    for _ in range(60):
        middle = (low + high) / 2
        below = middle < (1 - middle) ** a
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def _countable(truth: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    return (truth >= 0) & (truth < num_classes) & (truth != ignore_index)


def _split_spare(matrix: Tensor) -> tuple[Tensor, Tensor]:
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] + 1:
        raise ValueError(f'expected a matrix of shape (..., n, n + 1), got {tuple(matrix.shape)}')
    return matrix[..., :-1], matrix[..., -1]


def _settle_spare(square: Tensor, spare: Tensor, pred_ignore: str) -> tuple[Tensor, Tensor]:
    if pred_ignore == 'miss':
        return square, spare
    if pred_ignore == 'exclude':
        return square, torch.zeros_like(spare)
    if pred_ignore == 'background':
        square = torch.cat([square[..., :1] + spare[..., None], square[..., 1:]], dim=-1)
        return square, torch.zeros_like(spare)
    raise ValueError(f'pred_ignore={pred_ignore!r} is not one of {PRED_IGNORE_CONVENTIONS}')


def _class_mean(values: Tensor, counted: Tensor | None) -> Tensor:
    if counted is None:
        return values.nan_to_num(nan=0.0).mean(-1)
    return values.where(counted, torch.nan).nanmean(-1)


def _check_sweep_input(
    cam: Tensor, labels: Tensor, truth: Tensor, thresholds: Tensor, num_classes: int
) -> None:
    if cam.ndim != 3 or len(cam) != len(labels) or cam.shape[1:] != truth.shape:
        raise ValueError(
            f'cam of shape {tuple(cam.shape)} does not fit {len(labels)} labels and '
            f'truth of shape {tuple(truth.shape)}; expected (K, H, W), K and (H, W)'
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes - 1):
        raise ValueError(
            f'cam labels {labels.tolist()} are not 0-based foreground indices below '
            f'{num_classes - 1}'
        )
    if thresholds.ndim != 1 or not len(thresholds) or not (thresholds.diff() > 0).all():
        raise ValueError(f'thresholds must be a non-empty increasing list, got {thresholds}')
