"""Elementary operations on class activation maps."""

import torch.nn.functional as F
from torch import Tensor


def minmax_normalize(cam: Tensor, eps: float = 1e-7) -> Tensor:
    """Scale every map to [0, 1].

    ``(cam - min) / (eps + max(cam - min))`` over the last two dimensions, so a constant map
    becomes zero (CLIP-ES; Grad-CAM's usual scaling).

    Args:
        cam: ``(..., h, w)``.

    Returns:
        Same shape, in [0, 1].
    """
    cam = cam - cam.amin(dim=(-2, -1), keepdim=True)
    return cam / (eps + cam.amax(dim=(-2, -1), keepdim=True))


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize (``align_corners=False``) of maps ``(..., h, w)`` to ``(..., *size)``."""
    if maps.numel() == 0:  # F.interpolate refuses it
        return maps.new_zeros(*maps.shape[:-2], *size)
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    out = F.interpolate(flat, size=size, mode='bilinear', align_corners=False)
    return out.reshape(*maps.shape[:-2], *out.shape[-2:])
