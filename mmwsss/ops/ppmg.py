"""PMM: activation smoothed by its own variation, and masks by shares of it.

*Pseudo-mask Matters in Weakly-supervised Semantic Segmentation*, Li et al., ICCV 2021, arXiv
2108.12995; official code: Eli-YiLi/PMM, ``pipeline/refine_cam.py`` (``get_CoV``, ``ppmg``).
"""

import torch
from torch import Tensor

from .threads import one_thread


@one_thread()
def coefficient_of_variation(cams: Tensor, threshold: float = 0.05, scale: float = 0.3) -> Tensor:
    """``scale * std / mean`` of the active pixels of every map (CVS).

    Active are those above ``threshold``; the deviation is that of the population.

    Args:
        cams: ``(..., H, W)`` in [0, 1].
        threshold: In [0, 1).
        scale: Of the coefficient.

    Returns:
        ``(...)``, 0 for a map without an active pixel.
    """
    active = cams > threshold
    count = active.sum(dim=(-2, -1)).clamp(min=1)
    mean = (cams * active).sum(dim=(-2, -1)) / count
    squares = ((cams - mean[..., None, None]) ** 2 * active).sum(dim=(-2, -1))
    variation = scale * (squares / count).sqrt() / (mean + 1e-8)
    return variation.masked_fill(~active.any(dim=-1).any(dim=-1), 0)


@one_thread()
def smooth_activation(cams: Tensor, threshold: float = 0.05, scale: float = 0.3) -> Tensor:
    """``a ** (1 - cv)`` where a is at least ``threshold``, else 0: peaked maps are flattened most.

    Args:
        cams, threshold, scale: See :func:`coefficient_of_variation`.

    Returns:
        Like ``cams``, in [0, 1].
    """
    power = 1 - coefficient_of_variation(cams, threshold, scale)[..., None, None]
    kept = cams.clamp(min=0).masked_fill(cams < threshold, 0)
    return (kept**power).clamp(max=1).masked_fill(kept == 0, 0)


def foreground_scores(smoothed: Tensor, alpha: float = 11.0) -> Tensor:
    """Scores of background and foreground of every class alone, which the CRF refines.

    Args:
        smoothed: ``(..., H, W)`` in [0, 1].
        alpha: Exponent of the background.

    Returns:
        ``(..., 2, H, W)``: ``(1 - smoothed) ** alpha`` and ``smoothed``.
    """
    return torch.stack([(1 - smoothed) ** alpha, smoothed], dim=-3)


@one_thread()
def proportional_label(cams: Tensor, foreground: Tensor, classes: Tensor) -> Tensor:
    """A pixel gets the class of whose activation it holds the largest share (PPMG).

    With f 1 on the foreground of a class, ``share = f a / (1 + sum f a)``, the sum over the image.

    Args:
        cams: ``(..., K, H, W)``, not smoothed.
        foreground: ``(..., K, H, W)`` bool, that of every class alone.
        classes: ``(..., K)`` 0-based, -1 for none.

    Returns:
        ``(..., H, W)`` int64: class index + 1, 0 where no class has a share; of equal shares the
        first counts.
    """
    if cams.shape[-3] == 0:
        return cams.new_zeros(*cams.shape[:-3], *cams.shape[-2:], dtype=torch.int64)
    mine = cams * (foreground & (classes >= 0)[..., None, None])
    share = mine / (1 + mine.sum(dim=(-2, -1), keepdim=True))
    best, place = share.max(dim=-3)
    label = (classes + 1).gather(-1, place.flatten(-2)).view_as(place)
    return label.masked_fill(best <= 0, 0)
