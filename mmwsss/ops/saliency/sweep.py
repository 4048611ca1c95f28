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
    if len(classes):
        best, slot = activation.max(dim=0)
    else:
        best = slot = torch.zeros_like(truth, dtype=torch.uint8)
    if saliency is None:
        reached, above = _look_up(best, taus, strict=True), torch.ones((), dtype=torch.int64)
    else:
        if soft:
            unit, b = as_unit(best), as_unit(saliency)
            best, above = unit.where(unit > 1 - b, 0), (b > 0).long()
        else:
            above = _look_up(saliency, sal_thresholds, strict=True)
        reached = _look_up(best, taus, strict=False)
    labels = classes + 1 if len(classes) else classes.new_zeros(1)
    truth = truth.long()
    counted = (truth >= 0) & (truth < num_classes) & (truth != ignore_index)
    present = torch.bincount(truth[counted], minlength=num_classes) > 0
    truths = present.nonzero()[:, 0]
    place = present.cumsum(0) - 1
    rows = place[truth.where(counted, 0)]
    bins = len(taus) + 1, max(len(sal_thresholds), 1) + 1
    keys = ((rows * len(labels) + slot) * bins[0] + reached) * bins[1] + above
    size = len(truths) * len(labels) * bins[0] * bins[1]
    counts = torch.bincount(keys.where(counted, size).flatten(), minlength=size + 1)
    return truths, labels, counts[:size].view(len(truths), len(labels), *bins)


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


def _look_up(values: Tensor, thresholds: Tensor, strict: bool) -> Tensor:
    """How many thresholds a value is above or, unless ``strict``, equal to; 0 for the value 0."""
    if values.dtype == torch.uint8:
        table = _reached(byte_thresholds().to(values.device), thresholds, strict)
        return table[values.long()]
    return _reached(values.float(), thresholds, strict)


def _reached(values: Tensor, thresholds: Tensor, strict: bool) -> Tensor:
    count = torch.bucketize(values, thresholds.to(values.device), right=not strict)
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
