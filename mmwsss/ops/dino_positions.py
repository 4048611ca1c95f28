"""Position tables of DINOv2 at other grids."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    side = round((positions.shape[1] - 1) ** 0.5)
    if grid == (side, side):
        return positions
    table = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if registers:
        table = F.interpolate(table, size=grid, mode='bicubic', antialias=True)
    else:
        factors = tuple((cells + 0.1) / side for cells in grid)
        table = F.interpolate(table, scale_factor=factors, mode='bicubic')
    return torch.cat([positions[:, :1], table.flatten(2).transpose(1, 2)], dim=1)
