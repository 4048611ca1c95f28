"""Class-aware attention-based affinity (CLIP-ES, arXiv 2212.09506, section 3.3)."""

from torch import Tensor

from ..threads import one_thread
from . import propagate, sinkhorn_symmetric
from .box_mask import box_mask


@one_thread()
def class_aware_affinity(
    affinity: Tensor, cams: Tensor, image_index: Tensor, box_threshold: float
) -> Tensor:
    """Spread every map along the affinity, starting inside the boxes around its strong parts.

    ``A (A (mask * cam))`` with A the Sinkhorn-normalised symmetric affinity (equations 6 to 8).

    Args:
        affinity: ``(B, N, N)`` positive, rows are queries; CLIP-ES takes the mean attention of
            the last 8 blocks without class token.
        cams: ``(P, h, w)`` in [0, 1], ``h * w = N``.
        image_index: ``(P,)`` image of each map, ascending.
        box_threshold: See :func:`mmwsss.ops.affinity.box_mask.box_mask`.

    Returns:
        ``(P, h, w)`` >= 0, not normalised.
    """
    boxed = (box_mask(cams, box_threshold) * cams).flatten(1)
    return propagate(sinkhorn_symmetric(affinity), boxed, image_index).view_as(cams)
