"""Losses of seeds and of a CRF's target (SEC, DSRG, DGCN, WeakCLIP)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import on_one_thread, one_thread


@one_thread()
def label_cues(label: Tensor, num_classes: int, size: tuple[int, int]) -> Tensor:
    """One-hot seeds of label maps, reduced as torch's ``'nearest'`` does (upper left corners).

    Args:
        label: ``(B, H, W)``; values outside 0..num_classes - 1 (255) are no seed.
        num_classes: C.
        size: Grid of the loss.

    Returns:
        ``(B, C, *size)`` float32 of 0 and 1.
    """
    label = F.interpolate(label[:, None].float(), size=size, mode='nearest')
    classes = torch.arange(num_classes, device=label.device)[:, None, None]
    return (label == classes).float()


@on_one_thread
def seeding_loss(prob: Tensor, cues: Tensor) -> Tensor:
    """Cross-entropy on seeds, background and foreground alike in weight, image by image.

    ``mean_b sum_R -c log p / max(sum_R c, 1e-4)`` for R the background channel, plus the same for R
    all other channels.

    Args:
        prob: Positive probabilities ``(B, C, h, w)``, channel 0 is the background.
        cues: ``(B, C, h, w)`` of 0 and 1; a pixel may be a seed of several classes, or of none.

    Returns:
        Scalar.
    """
    entropy, cues = -cues * prob.log(), cues.to(prob.dtype)

    def mean_over(channels: slice) -> Tensor:
        count = cues[:, channels].sum((1, 2, 3)).clamp(min=1e-4)
        return (entropy[:, channels].sum((1, 2, 3)) / count).mean()

    return mean_over(slice(0, 1)) + mean_over(slice(1, None))


@on_one_thread
def boundary_loss(prob: Tensor, target: Tensor, low: float = 0.05, high: float = 20.0) -> Tensor:
    """``mean over pixels of sum_c q log clip(q / p, low, high)``: p learns a CRF's posterior q.

    Outside the clip there is no gradient.

    Args:
        prob: p, positive, ``(B, C, h, w)``.
        target: q, ``(B, C, h, w)``, a constant.
    """
    return (target * (target / prob).clamp(low, high).log()).sum(dim=1).mean()


@on_one_thread
def all_pixel_cross_entropy(logits: Tensor, label: Tensor, ignore_index: int = 255) -> Tensor:
    """Cross-entropy whose mean also counts ignored pixels, as losses of 0 (old MMSegmentation).

    Args:
        logits: ``(B, C, h, w)``, resized (bilinear) to the labels.
        label: ``(B, H, W)`` int64.

    Returns:
        Scalar.
    """
    logits = F.interpolate(logits, size=label.shape[-2:], mode='bilinear', align_corners=False)
    return F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='none').mean()
