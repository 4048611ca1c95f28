"""Patch token contrast (ToCo, arXiv 2303.01267, section 3.3; also DuPL and SeCo)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import on_one_thread
from . import affinity_label


def token_affinity_label(label: Tensor) -> Tensor:
    """Which pairs of tokens are of one class; a token and itself are no pair.

    Args:
        label: ``(B, h, w)`` integer, one label per token, 255 for ignored ones.

    Returns:
        ``(B, h * w, h * w)`` integer: 1 same class, 0 different, 255 on the diagonal and where a
        token is ignored.
    """
    grid = tuple(label.shape[-2:])
    target = affinity_label(label, grid, radius=None)
    itself = torch.eye(target.shape[-1], dtype=torch.bool, device=label.device)
    return target.masked_fill(itself, 255)


@on_one_thread
def token_contrast_loss(features: Tensor, target: Tensor) -> Tensor:
    """Pull tokens of one class together and push others apart (ToCo: L_ptc, equation 4).

    ``0.5 (1 - sum_pos |cos| / (#pos + 1)) + 0.5 sum_neg |cos| / (#neg + 1)`` over the batch.

    Args:
        features: Tokens ``(B, C, h, w)``.
        target: ``(B, h * w, h * w)`` of :func:`token_affinity_label`; other values than 0 and 1
            are ignored.

    Returns:
        Scalar.

    Example:
        >>> target = token_affinity_label(torch.tensor([[[0, 3], [3, 255]]]))
        >>> token_contrast_loss(torch.ones(1, 8, 2, 2), target)
        tensor(0.5667)
    """
    tokens = F.normalize(features.flatten(2), dim=1, eps=1e-8)
    similarity = (tokens.transpose(1, 2) @ tokens).abs()
    positive, negative = (target == 1).to(similarity), (target == 0).to(similarity)
    pull = 1 - (similarity * positive).sum() / (positive.sum() + 1)
    push = (similarity * negative).sum() / (negative.sum() + 1)
    return 0.5 * pull + 0.5 * push
