"""How much a pseudo mask is to be doubted, without knowing the truth.

Every measure is high for a doubtful image, and looks at its foreground: a share of all pixels would
say how large the objects are. They have no common scale (5 % of unsure pixels are many, a label
score of 0.95 is good), so :func:`mean_rank` joins their orders, not their values.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata
from torch import Tensor


def unsure_share(masks: Tensor, ignore_index: int = 255) -> Tensor:
    """Share of unsure pixels among those that are not background.

    Args:
        masks: Label maps ``(..., H, W)``, 0 is background.
        ignore_index: Value of unsure pixels.

    Returns:
        ``(...)`` in [0, 1]; 0 if all is background.
    """
    unsure = (masks == ignore_index).sum(dim=(-2, -1))
    return unsure / (masks != 0).sum(dim=(-2, -1)).clamp(min=1)


def narrowness(scores: Tensor) -> Tensor:
    """One minus the mean margin between the two best scores, where a class is best.

    Args:
        scores: In [0, 1], ``(..., 1 + K, H, W)``, background first, such as background and maps
            (:func:`mmwsss.ops.pseudo_label.add_background`) or probabilities.

    Returns:
        ``(...)`` in [0, 1]; 1 if no class is best anywhere, 0 if there is no class.
    """
    if scores.shape[-3] < 2:
        return scores.new_zeros(scores.shape[:-3])
    (best, second), (place, _) = (part.unbind(-3) for part in scores.topk(2, dim=-3))
    foreground = place > 0
    margin = ((best - second) * foreground).sum(dim=(-2, -1))
    return 1 - margin / foreground.sum(dim=(-2, -1)).clamp(min=1)


def label_doubt(scores: Tensor) -> Tensor:
    """One minus the probability of the least probable class among the image labels.

    Args:
        scores: In [0, 1], ``(..., K)``, of the labels of an image.

    Returns:
        ``(...)``; 0 without any label.
    """
    return 1 - scores.amin(dim=-1) if scores.shape[-1] else scores.new_zeros(scores.shape[:-1])


def disagreement(masks: Tensor, others: Tensor, ignore_index: int = 255) -> Tensor:
    """Share of what either of two label maps calls foreground on which they do not agree.

    Pixels of which either is unsure are left to :func:`unsure_share`.

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
