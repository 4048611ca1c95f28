"""How much a pseudo mask is to be doubted, without knowing the truth.

Every measure is high for a doubtful image. They have no common scale (2 % of unsure pixels are
many, a label score of 0.98 is good), so :func:`mean_rank` joins their orders, not their values.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

IGNORE = 255


def unsure_share(masks: Tensor, ignore_index: int = IGNORE) -> Tensor:
    """Share of the pixels that no class was decided for.

    Args:
        masks: Label maps ``(..., H, W)``.
        ignore_index: Value of unsure pixels.

    Returns:
        ``(...)`` in [0, 1].
    """
    return (masks == ignore_index).float().mean(dim=(-2, -1))


def narrowness(scores: Tensor) -> Tensor:
    """One minus the mean margin between the two best scores of a pixel.

    Args:
        scores: In [0, 1], ``(..., S, H, W)``, such as background and maps
            (:func:`mmwsss.ops.pseudo_label.add_background`) or probabilities.

    Returns:
        ``(...)`` in [0, 1]; 0 where there is nothing to choose between (``S`` < 2).
    """
    if scores.shape[-3] < 2:
        return scores.new_zeros(scores.shape[:-3])
    best, second = scores.topk(2, dim=-3).values.unbind(-3)
    return 1 - (best - second).mean(dim=(-2, -1))


def label_doubt(scores: Tensor) -> Tensor:
    """One minus the probability of the least probable class among the image labels.

    Args:
        scores: In [0, 1], ``(..., K)``, of the labels of an image.

    Returns:
        ``(...)``; 0 without any label.
    """
    return 1 - scores.amin(dim=-1) if scores.shape[-1] else scores.new_zeros(scores.shape[:-1])


def disagreement(masks: Tensor, others: Tensor, ignore_index: int = IGNORE) -> Tensor:
    """Share of what either of two label maps calls foreground on which they do not agree.

    Of the foreground and not of the image, so that a small object that only one of them has counts
    as much as a large one. Pixels of which either is unsure are left to :func:`unsure_share`.

    Args:
        masks, others: Label maps ``(..., H, W)``, 0 is background.
        ignore_index: Value of unsure pixels.

    Returns:
        ``(...)`` in [0, 1]; 0 if neither has any foreground.
    """
    known = (masks != ignore_index) & (others != ignore_index)
    foreground = ((masks > 0) | (others > 0)) & known
    differ = ((masks != others) & known).sum(dim=(-2, -1))
    return differ / foreground.sum(dim=(-2, -1)).clamp(min=1)


def mean_rank(measures: Sequence[Sequence[float]]) -> np.ndarray:
    """Doubt of every image: the mean of its places in the orders of several measures.

    Args:
        measures: ``(M, N)``, of N images, high for the doubtful; NaN where a measure does not
            apply, which counts neither for nor against the image.

    Returns:
        float64 ``(N,)`` in [0, 1]: 1 is the last place in all orders. Equal values share a place;
        a measure of a single image is no order; an image that is in no order has 0.

    Example:
        >>> mean_rank([[0.1, 0.3, 0.2], [5.0, 7.0, float('nan')]]).tolist()
        [0.0, 1.0, 0.5]
    """
    values = np.asarray(measures, np.float64)
    if values.size == 0:
        return np.zeros(values.shape[-1])
    known = ~np.isnan(values)
    known &= known.sum(axis=1, keepdims=True) > 1  # one value alone has no order
    places = rankdata(values, axis=1, nan_policy='omit') - 1
    last = np.maximum(known.sum(axis=1, keepdims=True) - 1, 1)
    shares = np.where(known, places / last, 0)
    return shares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
