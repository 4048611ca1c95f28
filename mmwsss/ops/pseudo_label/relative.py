"""Label maps from thresholds relative to the peak of every mask."""

import torch.nn.functional as F
from torch import Tensor

from ..threads import one_thread


@one_thread()
def relative_label(
    scores: Tensor,
    classes: Tensor,
    low: float = 0.2,
    foreground: float = 0.6,
    background: float = 0.7,
    ignore_index: int = 255,
) -> Tensor:
    """Pixels that exactly one mask is sure of (1-Stage, arXiv 2005.08104, section 3.2).

    A mask claims the pixels above ``max(low, share * its maximum)``; pixels that no mask or
    several masks claim are ignored.

    Args:
        scores: Masks in [0, 1], background first, ``(B, 1 + K, H, W)``.
        classes: ``(B, K)`` 0-based foreground class of each further channel, -1 for none.
        low: Lowest threshold.
        foreground, background: Shares of the maximum.

    Returns:
        ``(B, H, W)`` int64: 0 background, class index + 1, or ``ignore_index``.
    """
    table = F.pad(classes + 1, (1, 0))
    share = scores.new_full((scores.shape[1], 1, 1), foreground)
    share[0] = background
    threshold = (share * scores.amax((-2, -1), keepdim=True)).clamp(min=low)
    claims = scores > threshold
    claims[:, 1:] &= (classes >= 0)[:, :, None, None]
    label = (claims * table[:, :, None, None]).sum(1)
    return label.masked_fill(claims.sum(1) != 1, ignore_index)
