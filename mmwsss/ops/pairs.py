"""(image, class) pairs of a batch."""

import torch
from torch import Tensor

from .threads import one_thread


def pair_slots(image_index: Tensor) -> Tensor:
    """Place of each pair among the pairs of its image.

    Args:
        image_index: ``(P,)`` int64 ascending, the image of each pair.

    Returns:
        ``(P,)`` int64, counting from 0 in every image.
    """
    first = torch.searchsorted(image_index, image_index)
    return torch.arange(len(image_index), device=image_index.device) - first


@one_thread()
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


def pack_present(maps: Tensor, image_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the maps of the classes in the image labels.

    Args:
        maps: ``(B, C_fg, h, w)`` of all classes.
        image_labels: Multi-hot ``(B, C_fg)``.

    Returns:
        ``(B, K, h, w)`` and classes ``(B, K)``, as :func:`pack_pairs`.
    """
    image_index, labels = image_labels.nonzero(as_tuple=True)
    return pack_pairs(maps[image_index, labels], labels, image_index, len(maps))
