"""Every threshold of the activations with every threshold of the saliency, in one pass.

The label of a pixel depends on three things only: its largest activation M with the class c of
that, and its saliency S. So counts of the pixels by (truth, c, thresholds that M reaches,
thresholds that S is above) hold the confusion matrices of all pairs of thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..threads import one_thread
from . import as_unit
from .cpu import count_bytes


def byte_thresholds() -> Tensor:
    """The values of the 256 bytes: no other threshold decides differently about 8-bit maps."""
    return torch.arange(256, dtype=torch.float32) / 255


@one_thread()
def joint_histogram(
    activation: Tensor,
    classes: Tensor,
    saliency: Tensor | None,
    truth: Tensor,
    taus: Tensor | Sequence[float],
    sal_thresholds: Tensor | Sequence[float] = (),
    soft: bool = False,
    num_classes: int = 21,
    ignore_index: int = 255,
) -> tuple[Tensor, Tensor, Tensor]:
    """Count the pixels of an image for :func:`sweep_confusions`, by the rule of
    :func:`mmwsss.ops.saliency.saliency_guided_label`.

    Args:
        activation: ``(K, H, W)`` uint8, or floats in [0, 1].
        classes: ``(K,)`` different 0-based foreground classes.
        saliency: ``(H, W)`` uint8, or floats in [0, 1]; None: not used.
        truth: ``(H, W)`` class indices; others are not counted.
        taus: ``(T,)`` increasing thresholds of the activations.
        sal_thresholds: ``(S,)`` increasing thresholds above 0 of the saliency; empty when it is
            ``soft`` or None.
        soft: The saliency is not binarised.
        num_classes: ``n``, background included.
        ignore_index: Truth to leave out.

    Returns:
        Truths ``(G,)`` and labels ``(C,)`` that can occur, and counts int64
        ``(G, C, T + 1, S + 1)`` by the thresholds reached; S = 1 when ``soft`` or without
        saliency. Only what can occur is returned since a full table is large:
        ``total[truths[:, None], labels] += counts`` adds up images.

    Raises:
        ValueError: Shapes, thresholds or classes are wrong.
    """
    taus, sal_thresholds = (torch.as_tensor(t, dtype=torch.float32) for t in (taus, sal_thresholds))
    _check(activation, classes, saliency, truth, num_classes)
    _check_thresholds(taus, sal_thresholds, soft or saliency is None)
    order = classes.argsort()
    classes, activation = classes[order], activation[order]
    values = torch.arange(int(truth.max()) + 1 if truth.numel() else 1, device=truth.device)
    present = torch.bincount(truth.flatten().clamp(min=0).long(), minlength=len(values)) > 0
    present &= (values < num_classes) & (values != ignore_index)
    truths = present.nonzero()[:, 0]
    labels = classes + 1 if len(classes) else classes.new_zeros(1)
    edges = taus.to(truth.device), sal_thresholds.to(truth.device)
    bins = len(taus) + 1, max(len(sal_thresholds), 1) + 1
    size = len(truths), len(labels), bins[0] * bins[1]
    maps = (activation, truth) if saliency is None else (activation, saliency, truth)
    place = torch.where(present, present.cumsum(0) - 1, -1)
    if all(x.dtype == torch.uint8 and x.device.type == 'cpu' for x in maps):
        unit = byte_thresholds()
        pairs = (unit[:, None], None if saliency is None else unit)
        table = _bins(*pairs, *edges, soft).expand(256, 256).contiguous()
        place = torch.nn.functional.pad(place, (0, 256 - len(place)), value=-1)
        counts = count_bytes(activation, saliency, truth, place, table, size)
        return truths, labels, counts.view(*size[:2], *bins)
    if len(classes):
        best, slot = activation.max(dim=0)
    else:
        best, slot = truth.new_zeros(truth.shape, dtype=torch.float32), 0
    reached = _bins(as_unit(best), None if saliency is None else as_unit(saliency), *edges, soft)
    row = place[truth.clamp(min=0).long()].masked_fill(truth < 0, -1)
    keys = (row * size[1] + slot) * size[2] + reached
    total = size[0] * size[1] * size[2]
    counts = torch.bincount(keys.where(row >= 0, total).flatten(), minlength=total + 1)
    return truths, labels, counts[:total].view(*size[:2], *bins)


def _bins(
    best: Tensor, saliency: Tensor | None, taus: Tensor, sal_thresholds: Tensor, soft: bool
) -> Tensor:
    """Thresholds that activations and saliency in [0, 1] reach, as one number for both."""
    columns = max(len(sal_thresholds), 1) + 1
    if saliency is None:
        return _reached(best, taus, strict=True) * columns + 1
    if soft:
        best, above = best.where(best > 1 - saliency, 0), (saliency > 0).long()
    else:
        above = _reached(saliency, sal_thresholds, strict=True)
    return _reached(best, taus, strict=False) * columns + above


@one_thread()
def sweep_confusions(histogram: Tensor, ignore: bool = False) -> Tensor:
    """Confusion matrices of all pairs of thresholds.

    Args:
        histogram: ``(n, n, T + 1, S + 1)``, the sum of :func:`joint_histogram` over the images.
        ignore: Salient background counts as ignored, in the last column.

    Returns:
        ``(T, S, n, n + 1)`` as :func:`mmwsss.ops.confusion.segmentation_scores` reads them.
    """
    reached = histogram.flip(-1, -2).cumsum(-1).cumsum(-2).flip(-1, -2)
    foreground = reached[..., 1:, 1:].permute(2, 3, 0, 1)
    matrices = torch.nn.functional.pad(foreground, (0, 1))
    found = foreground[..., 1:].sum(-1)
    total = histogram.sum((1, 2, 3)).expand_as(found)
    matrices[..., 0] = total - found
    if ignore:
        salient = reached[:, :, 0, 1:].sum(1).t().expand_as(found)
        matrices[..., -1] = salient - found
        matrices[..., 0] -= matrices[..., -1]
    return matrices


def _reached(values: Tensor, thresholds: Tensor, strict: bool) -> Tensor:
    """How many thresholds a value is above or, unless ``strict``, equal to; 0 for the value 0."""
    count = torch.bucketize(values.contiguous(), thresholds, right=not strict)
    return count.masked_fill(values == 0, 0)  # a tie with the background, whatever the threshold


def _check(
    activation: Tensor, classes: Tensor, saliency: Tensor | None, truth: Tensor, num_classes: int
) -> None:
    size = truth.shape
    if activation.ndim != 3 or len(activation) != len(classes) or activation.shape[1:] != size:
        raise ValueError(
            f'activation of shape {tuple(activation.shape)} does not fit {len(classes)} classes '
            f'and truth of shape {tuple(size)}; expected (K, H, W), K and (H, W)'
        )
    if saliency is not None and saliency.shape != size:
        raise ValueError(f'saliency of shape {tuple(saliency.shape)} for truth of {tuple(size)}')
    wrong = classes.numel() and (classes.min() < 0 or classes.max() >= num_classes - 1)
    if wrong or len(classes.unique()) < len(classes):
        raise ValueError(
            f'classes {classes.tolist()} are not different foreground classes of '
            f'0..{num_classes - 2}'
        )


def _check_thresholds(taus: Tensor, sal_thresholds: Tensor, unused: bool) -> None:
    if not len(taus) or not (taus.diff() > 0).all() or taus[0] < 0:
        raise ValueError(f'taus must be an increasing list from 0 on, got {taus.tolist()}')
    if unused != (len(sal_thresholds) == 0):
        raise ValueError('sal_thresholds belong to binary saliency, which needs some')
    if len(sal_thresholds) and not ((sal_thresholds.diff() > 0).all() and sal_thresholds[0] > 0):
        raise ValueError(f'sal_thresholds must increase from above 0, got {sal_thresholds}')
