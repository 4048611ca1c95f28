"""Similarity of texts and pixels (WeakCLIP, DenseCLIP)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def score_map(visual: Tensor, text: Tensor) -> Tensor:
    """Cosine of every patch and every text.

    ``S[b, k, y, x] = <v / max(|v|, 1e-12), t / max(|t|, 1e-12)>``

    Args:
        visual: Patch embeddings ``(B, D, h, w)``.
        text: ``(B, K, D)``.

    Returns:
        ``(B, K, h, w)`` in [-1, 1].
    """
    visual, text = F.normalize(visual, dim=1), F.normalize(text, dim=2)
    return torch.einsum('bdhw,bkd->bkhw', visual, text)
