"""Sharpness of class scores, by which CLIP-ES chooses its prompt."""

import torch
from torch import Tensor


def score_sharpness(prob: Tensor, image_labels: Tensor) -> Tensor:
    """Mean of var / mean of the scores of an image's classes, over images of several classes.

    The softmax makes classes of one image compete; a text that is found sharply wins over the
    others, which then get bad maps. So lower is better (CLIP-ES, arXiv 2212.09506, equation 9;
    the variance is taken over the classes of an image, divided by their number).

    Args:
        prob: Class probabilities ``(B, C)``.
        image_labels: Multi-hot ``(B, C)``.

    Returns:
        Scalar; NaN if no image has two classes.
    """
    hot = (image_labels > 0).to(prob.dtype)
    count = hot.sum(1)
    hot, prob, count = (x[count > 1] for x in (hot, prob, count))
    mean = (prob * hot).sum(1) / count
    var = ((prob - mean[:, None]) ** 2 * hot).sum(1) / count
    return (var / mean.clamp(min=torch.finfo(prob.dtype).tiny)).mean()
