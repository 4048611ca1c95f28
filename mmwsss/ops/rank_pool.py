"""Global weighted rank pooling."""

import torch
from torch import Tensor

from .threads import on_one_thread


@on_one_thread
def global_weighted_rank_pool(maps: Tensor, decay: float = 0.996) -> Tensor:
    """Class scores from maps, the best cells first (Kolesnikov and Lampert, arXiv 1603.06098).

    ``sum_j d^j M_(j) / sum_j d^j`` with the cells of a map in descending order (MCTformer+).

    Args:
        maps: M, ``(B, C, h, w)``.
        decay: d in (0, 1]; 1 is the mean.

    Returns:
        ``(B, C)``.
    """
    cells = maps.flatten(2).sort(dim=2, descending=True).values
    weights = decay ** torch.arange(cells.shape[2], device=cells.device, dtype=torch.float32)
    return (cells * weights).sum(2) / weights.sum()
