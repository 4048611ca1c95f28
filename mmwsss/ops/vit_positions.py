"""Position embeddings of vision transformers on other grids."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .threads import one_thread


@one_thread()
def resize_positions(patches: Tensor, grid: tuple[int, int], offset: float = 0.0) -> Tensor:
    """Resize the position embedding of a square grid by scale factors (timm, DINO, MCTformer).

    Bicubic, ``align_corners=False``, no antialiasing. The sample positions follow from the factors
    ``(h + offset) / g`` and ``(w + offset) / g`` themselves, so the result is not that of
    resizing to a size. Where rounding makes the factors miss the grid (without an offset at h or
    w = 61 from g = 28) it is resized to the size.

    Args:
        patches: ``(1, g * g, C)``, without the tokens that are no patches.
        grid: Wanted grid (h, w).
        offset: 0.1 keeps the factors clear of rounding (DINO, MCTformer V1 and V2); 0 in
            MCTformer+.

    Returns:
        ``(1, h * w, C)``.

    Raises:
        ValueError: The patches do not form a square.
    """
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1]:
        raise ValueError(f'{patches.shape[1]} patch positions do not form a square grid')
    grid = tuple(map(int, grid))  # as an export traces the network, they are tensors
    maps = patches.mT.unflatten(2, (side, side))
    factors = tuple((cells + offset) / side for cells in grid)
    resized = F.interpolate(maps, scale_factor=factors, mode='bicubic', align_corners=False)
    if resized.shape[2:] != grid:
        resized = F.interpolate(maps, size=grid, mode='bicubic', align_corners=False)
    return resized.flatten(2).mT


def interpolate_dino_positions(
    positions: Tensor, grid: tuple[int, int], registers: bool = False
) -> Tensor:
    """Bicubic resampling as DINOv2's code does it, which differs between its two families.

    Without registers the sampling step is 37 / (h + 0.1), no antialiasing; with registers the
    sizes set the step, and the filter is antialiased.

    Args:
        positions: ``(1, 1 + g * g, C)``, class token first.
        grid: Wanted grid (h, w).
        registers: Whether the network has register tokens.

    Returns:
        ``(1, 1 + h * w, C)``; the table itself if the grid is its own.
    """
    side, grid = math.isqrt(positions.shape[1] - 1), tuple(map(int, grid))
    if grid == (side, side):
        return positions
    patches = positions[:, 1:]
    if registers:
        table = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=grid, mode='bicubic', antialias=True)
        patches = table.flatten(2).transpose(1, 2)
    else:
        patches = resize_positions(patches, grid, offset=0.1)
    return torch.cat([positions[:, :1], patches], dim=1)
