"""From cams to label maps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .pairs import pair_slots


def pack_pairs(
    values: Tensor, labels: Tensor, image_index: Tensor, num_images: int
) -> tuple[Tensor, Tensor]:
    """Lay the maps of (image, class) pairs out as one padded batch.

    Args:
        values: ``(P, ...)``.
        labels: ``(P,)`` foreground class indices (0-based).
        image_index: ``(P,)`` ascending.

    Returns:
        ``(B, K, ...)`` with zeros where an image has fewer than K classes, and the classes
        ``(B, K)`` with -1 there.
    """
    slot = pair_slots(image_index)
    width = int(slot.max()) + 1 if len(values) else 0
    maps = values.new_zeros(num_images, width, *values.shape[1:])
    classes = labels.new_full((num_images, width), -1)
    maps[image_index, slot] = values
    classes[image_index, slot] = labels
    return maps, classes


def add_background(cams: Tensor, power: float = 1.0) -> Tensor:
    """Prepend the background score ``(1 - max_c cam) ** power``.

    Args:
        cams: ``(B, K, H, W)`` in [0, 1].

    Returns:
        ``(B, 1 + K, H, W)``.
    """
    if cams.shape[1] == 0:
        return F.pad(cams, (0, 0, 0, 0, 1, 0), value=1.0)
    return torch.cat([(1 - cams.amax(dim=1, keepdim=True)) ** power, cams], dim=1)


def decide(scores: Tensor, classes: Tensor) -> Tensor:
    """Label map of the best score; the first wins a tie.

    Args:
        scores: ``(B, 1 + K, H, W)``, background first.
        classes: ``(B, K)`` 0-based foreground class of each further channel, -1 for none.

    Returns:
        ``(B, H, W)`` int64: 0 background, class index + 1 elsewhere.
    """
    absent = F.pad(classes < 0, (1, 0))
    best = scores.masked_fill(absent[:, :, None, None], -torch.inf).argmax(dim=1)
    table = F.pad(classes + 1, (1, 0))
    return table.gather(1, best.flatten(1)).view_as(best)
