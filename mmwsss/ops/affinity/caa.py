"""Class-aware attention-based affinity (CLIP-ES, arXiv 2212.09506, section 3.3)."""

from torch import Tensor

from ..threads import one_thread
from . import propagate, sinkhorn_symmetric
from .box_mask import box_mask


@one_thread()
def class_aware_affinity(
    affinity: Tensor,
    cams: Tensor,
    image_index: Tensor,
    box_threshold: float | None,
    weight: Tensor | None = None,
) -> Tensor:
    """Spread every map along the affinity, starting inside the boxes around its strong parts.

    ``A (A (mask * cam))`` with A the Sinkhorn-normalised symmetric affinity (equations 6 to 8).

    Args:
        affinity: ``(B, N, N)`` positive, rows are queries; CLIP-ES takes the mean attention of
            the last 8 blocks without class token.
        cams: ``(P, h, w)`` in [0, 1], ``h * w = N``.
        image_index: ``(P,)`` image of each map, ascending.
        box_threshold: See :func:`mmwsss.ops.affinity.box_mask.box_mask`; None: no boxes.
        weight: ``(P, h, w)``, multiplied with the maps once the boxes are found (WeCLIP+).

    Returns:
        ``(P, h, w)`` >= 0, not normalised.
    """
    source = cams if box_threshold is None else box_mask(cams, box_threshold) * cams
    source = source if weight is None else source * weight
    spread = propagate(sinkhorn_symmetric(affinity), source.flatten(1), image_index)
    return spread.view_as(cams)
