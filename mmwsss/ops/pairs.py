"""(image, class) pairs of a batch."""

import torch
from torch import Tensor


def pair_slots(image_index: Tensor) -> Tensor:
    """Place of each pair among the pairs of its image.

    Args:
        image_index: ``(P,)`` int64 ascending, the image of each pair.

    Returns:
        ``(P,)`` int64, counting from 0 in every image.
    """
    first = torch.searchsorted(image_index, image_index)
    return torch.arange(len(image_index), device=image_index.device) - first
