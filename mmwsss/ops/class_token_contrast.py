"""Contrast between the class tokens of an image."""

import torch.nn.functional as F
from torch import Tensor

from .threads import on_one_thread


@on_one_thread
def class_token_contrast_loss(tokens: Tensor, labels: Tensor) -> Tensor:
    """Every class token of the image labels shall be told from all others (MCTformer+).

    With z the unit vectors of a layer's tokens, the cross-entropy of row c of ``z z^T`` with class
    c, without temperature; the mean over layers, then over the classes of an image (their number
    + 1e-8), then over images. An image without any class counts 0.

    Args:
        tokens: ``(L, B, C, D)``.
        labels: Multi-hot ``(B, C)``.

    Returns:
        Scalar.
    """
    unit = F.normalize(tokens, dim=-1)
    similarity = unit @ unit.transpose(-2, -1)
    own = -similarity.log_softmax(dim=-1).diagonal(dim1=-2, dim2=-1)  # (L, B, C)
    per_image = (own.mean(0) * labels).sum(1) / (labels.sum(1) + 1e-8)
    return per_image.mean()
