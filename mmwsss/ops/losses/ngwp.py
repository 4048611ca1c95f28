"""Class scores from soft masks: normalised global weighted pooling (arXiv 2005.08104)."""

import torch
from torch import Tensor

from ..threads import on_one_thread


@on_one_thread
def ngwp_scores(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean logit of each class under its own mask (section 3.1, "nGWP").

    ``s_c = sum_p z_cp m_cp / (1 + sum_p m_cp)``; the paper's small epsilon is 1 in the official
    code. Gradients reach both arguments.

    Args:
        logits: z, ``(B, C, h, w)``.
        masks: m in [0, 1], ``(B, C, h, w)``.

    Returns:
        ``(B, C)``.
    """
    return (logits * masks).sum((-2, -1)) / (1 + masks.sum((-2, -1)))


@on_one_thread
def focal_mask_penalty(masks: Tensor, power: float = 3.0, offset: float = 0.01) -> Tensor:
    """Penalty on classes whose masks are small (section 3.1).

    ``(1 - mu_c) ** power * log(offset + mu_c)`` with mu the mean of the mask, so a class without
    a mask scores ``log(offset)``.

    Args:
        masks: In [0, 1], ``(B, C, h, w)``.
        power: Larger means that the penalty ends at smaller masks.
        offset: Keeps the penalty finite.

    Returns:
        ``(B, C)``, not above ``log(offset + 1)``.
    """
    mean = masks.mean((-2, -1))
    return (1 - mean) ** power * torch.log(offset + mean)


@on_one_thread
def labelled_mask_size(masks: Tensor, image_labels: Tensor) -> Tensor:
    """Share of an image that the mask of one of its classes covers, a figure to watch.

    Args:
        masks: In [0, 1], ``(B, C, h, w)``, foreground only.
        image_labels: Multi-hot ``(B, C)``.

    Returns:
        ``(B,)``, the mean over the classes of an image; 0 for an image without any.
    """
    total = (masks.mean((-2, -1)) * image_labels).sum(1)
    return total / image_labels.sum(1).clamp(min=1)
