"""Maps of how well patches fit texts.

ExCEL, arXiv 2503.20826; official code: zwyang6/ExCEL, clip/clip.py, clip_feature_surgery.
"""

import torch
from torch import Tensor

from ..threads import one_thread


@one_thread()
def localization_maps(features: Tensor, text: Tensor, num_foreground: int) -> Tensor:
    """Patch-text similarity of every class, less what all texts have in common.

    With w = T softmax over the T texts of ``2 f_cls . t``: ``s_nt = w_t f_n . t - mean over the
    texts``, then scaled to [0, 1] over all tokens of an image, the class token included. The
    official code forms a (B, L, T, D) tensor; the same is one product.

    Args:
        features: ``(B, 1 + N, D)``, class token first.
        text: ``(T, D)``, foreground classes first, then backgrounds.
        num_foreground: C.

    Returns:
        ``(B, 1 + N, C)`` in [0, 1]; zero where a map is constant.
    """
    weight = (2 * features[:, :1] @ text.T).softmax(dim=-1) * len(text)  # (B, 1, T)
    maps = features @ text.T * weight
    maps = (maps - maps.mean(dim=-1, keepdim=True))[..., :num_foreground]
    low, high = maps.aminmax(dim=1, keepdim=True)
    return ((maps - low) / (high - low)).masked_fill(high == low, 0)


def flip_max(maps: Tensor) -> Tensor:
    """Merge the maps of images and their mirror images, and scale to [0, 1].

    ``S - min`` over ``max + 1e-5``, with S the larger of the two.

    Args:
        maps: ``(2B, C, h, w)``: the images, then their mirror images.

    Returns:
        ``(B, C, h, w)``.
    """
    plain, mirrored = maps.chunk(2)
    merged = torch.maximum(plain, mirrored.flip(-1))
    merged = merged - merged.amin(dim=(-2, -1), keepdim=True)
    return merged / (merged.amax(dim=(-2, -1), keepdim=True) + 1e-5)
