"""Cross-entropy of sparse labels, balanced over the classes of each image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import on_one_thread


@on_one_thread
def class_balanced_cross_entropy(
    logits: Tensor, label: Tensor, image_labels: Tensor, ignore_index: int = 255
) -> Tensor:
    """Mask loss of 1-Stage (arXiv 2005.08104, section 3.2 and supplement).

    With n_c labelled pixels of class c and n of all, ``1 / (H W) * sum_p q_p CE_p`` with
    ``q_p = (n - n_c(p)) / (1 + n)``: rare classes count more. An image counts only if its labels
    hold the background and as many further classes as its image labels, else its loss is 0.

    Args:
        logits: ``(B, C, h, w)``, resized to the labels (bilinear, ``align_corners=True``).
        label: ``(B, H, W)`` int64: 0 background, 1..C-1 foreground, ``ignore_index``.
        image_labels: Multi-hot ``(B, C - 1)``.

    Returns:
        One loss per image ``(B,)``; the training loss is their mean.
    """
    counts = label_counts(label, logits.shape[1], ignore_index)
    complete = (counts > 0).sum(1) == image_labels.sum(1) + 1
    used = complete.nonzero().flatten()
    loss = logits.new_zeros(len(logits), dtype=torch.float32)
    logits, label, counts = logits[used].float(), label[used], counts[used]
    total = counts.sum(1, keepdim=True)
    balance = F.pad((total - counts) / (1 + total), (0, 1))  # the last entry for ignored pixels
    known = label != ignore_index
    index = label.where(known, counts.shape[1])
    weight = balance.gather(1, index.flatten(1)).view(label.shape)
    logits = F.interpolate(logits, size=label.shape[-2:], mode='bilinear', align_corners=True)
    entropy = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='none')
    return loss.index_copy(0, used, (weight * entropy).mean((-2, -1)))


def label_counts(label: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Pixels of every class in every image.

    Args:
        label: ``(B, H, W)`` int64 in 0..num_classes - 1, or ``ignore_index``.

    Returns:
        ``(B, num_classes)`` int64.
    """
    index = label.where(label != ignore_index, num_classes).flatten(1)
    counts = label.new_zeros(len(label), num_classes + 1)
    return counts.scatter_add_(1, index, torch.ones_like(index))[:, :-1]
