"""Loss functions shared by the methods."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import on_one_thread


@on_one_thread
def balanced_cross_entropy(
    logits: Tensor,
    label: Tensor,
    ignore_index: int = 255,
    official_nan: bool = False,
    smoothing: float = 0.0,
) -> Tensor:
    """``0.5 * CE(background pixels) + 0.5 * CE(foreground pixels)`` (AFA, WeCLIP, AMN: L_seg).

    Each part is a mean over its own pixels of the whole batch.

    Args:
        logits: ``(B, C, H, W)``, channel 0 is the background.
        label: ``(B, H, W)`` int64: 0 background, 1..C-1 foreground, ``ignore_index``.
        official_nan: Return NaN when one part has no pixel, as the official code does, instead
            of counting that part as 0.
        smoothing: e of AMN's soft targets: 1 - e on the label, e / (C - 1) on every other class.

    Returns:
        Scalar.
    """
    # torch spreads its smoothing over all classes, the label's own included
    spread = smoothing * logits.shape[1] / (logits.shape[1] - 1)
    loss = F.cross_entropy(
        logits, label, ignore_index=ignore_index, reduction='none', label_smoothing=spread
    )
    background = label == 0
    foreground = ~background & (label != ignore_index)

    def mean_over(region: Tensor) -> Tensor:
        count = region.sum()
        return (loss * region).sum() / (count if official_nan else count.clamp(min=1))

    return 0.5 * mean_over(background) + 0.5 * mean_over(foreground)


@on_one_thread
def image_balanced_cross_entropy(
    logits: Tensor, label: Tensor, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Background and foreground cross-entropy balanced within each image (DSRG).

    With p = (softmax + 1e-4) renormalised to sum 1: ``-sum_R log p[label] / max(#R, 1e-4)`` over
    the region R of an image, then a mean over the images. The sum of the two is the loss.

    Args:
        logits: ``(B, C, H, W)``, channel 0 is the background.
        label: ``(B, H, W)`` int64: 0 background, 1..C-1 foreground, ``ignore_index``.

    Returns:
        The background and the foreground term, scalars.
    """
    log_prob = floored_softmax(logits).log()
    loss = F.nll_loss(log_prob, label, ignore_index=ignore_index, reduction='none')
    background = label == 0
    foreground = ~background & (label != ignore_index)

    def mean_of_images(region: Tensor) -> Tensor:
        count = region.sum((1, 2)).clamp(min=1e-4)
        return ((loss * region).sum((1, 2)) / count).mean()

    return mean_of_images(background), mean_of_images(foreground)


def floored_softmax(logits: Tensor, floor: float = 1e-4) -> Tensor:
    """Softmax over dim 1 with ``floor`` added to every probability, renormalised (DSRG, SEC)."""
    prob = logits.softmax(dim=1) + floor
    return prob / prob.sum(dim=1, keepdim=True)


@on_one_thread
def dice_loss(logits: Tensor, label: Tensor) -> Tensor:
    """``1 - mean over the classes of 2 |p t| / (|p| + |t| + 1e-7)`` (WeCLIP+).

    Sums run over the whole batch. Classes that do not occur count, too, with their probabilities;
    so do the probabilities of pixels that are ignored.

    Args:
        logits: ``(B, C, H, W)``.
        label: ``(B, H, W)`` int64; values outside 0..C-1 are no class.

    Returns:
        Scalar.
    """
    prob = logits.softmax(dim=1)
    truth = label[:, None] == torch.arange(logits.shape[1], device=label.device)[:, None, None]
    inter = (prob * truth).sum((0, 2, 3))
    union = prob.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return 1 - (2 * inter / (union + 1e-7)).mean()


@torch.no_grad()
def relabel_confident(logits: Tensor, label: Tensor, threshold: float = 0.75) -> Tensor:
    """Where a class has a probability above ``threshold``, that class in place of the label.

    Args:
        logits: ``(B, C, H, W)``.
        label: ``(B, H, W)`` int64.
    """
    prob, best = logits.softmax(dim=1).max(dim=1)
    return torch.where(prob > threshold, best, label)


@on_one_thread
def affinity_loss(affinity: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pull same-class pairs together and push others apart (AFA, equation 5; WeCLIP: L_aff).

    ``0.5 * sum_pos(1 - a) / (#pos + 1) + 0.5 * sum_neg(a) / (#neg + 1)``.

    Args:
        affinity: ``(B, N, N)`` in [0, 1].
        target: ``(B, N, N)`` 1 same class, 0 different, anything else ignored.

    Returns:
        The loss, and ``#pos + 1`` and ``#neg + 1``.
    """
    positive = (target == 1).to(affinity.dtype)
    negative = (target == 0).to(affinity.dtype)
    num_positive, num_negative = positive.sum() + 1, negative.sum() + 1
    loss = 0.5 * ((1 - affinity) * positive).sum() / num_positive
    return loss + 0.5 * (affinity * negative).sum() / num_negative, num_positive, num_negative
