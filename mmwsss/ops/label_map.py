"""Resizing of label maps."""

import numpy as np
import torch
from torch import Tensor

from .threads import one_thread


@one_thread()
def resize_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resize that takes the centre of each new cell, exactly as Pillow does.

    (Plain ``'nearest'`` of torch and OpenCV takes the upper left corner, which moves a reduced
    mask against the map that it supervises.)

    Args:
        label: ``(..., H, W)`` of any type.
        size: New height and width.

    Returns:
        ``(..., *size)`` of the same type and device.
    """
    rows, columns = (
        torch.from_numpy(_centres(old, new)).to(label.device)
        for old, new in zip(label.shape[-2:], size, strict=True)
    )
    return label[..., rows[:, None], columns]


def _centres(old: int, new: int) -> np.ndarray:
    """Source index of each new cell; Pillow adds up the step, roundings included."""
    step = old / new
    steps = np.full(new, step)
    steps[0] = step / 2
    return np.minimum(np.add.accumulate(steps).astype(np.int64), old - 1)
