"""Multi-scale and flip inference."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_long_side(image: Tensor, long_side: int) -> Tensor:
    """Bilinear resize (no antialias) so that the longer side is ``long_side``.

    Args:
        image: ``(B, C, H, W)``; sizes become ``int(side * long_side / max(H, W))``.
    """
    h, w = image.shape[-2:]
    ratio = long_side / max(h, w)
    size = (int(h * ratio), int(w * ratio))
    return F.interpolate(image, size=size, mode='bilinear', align_corners=False)


def mean_of_views(
    forward: Callable[[Tensor], Tensor], image: Tensor, scales: Sequence[float], flip: bool
) -> Tensor:
    """Mean of the maps of several scales and, if wanted, their mirror images.

    The first scale sets the size of the result; the others' maps are resized to it (bilinear,
    ``align_corners=False``). An image and its mirror image run as one batch.

    Args:
        forward: ``(B, 3, h, w)`` -> ``(B, C, h', w')``.
        image: ``(B, 3, H, W)``.
        scales: Factors on the image size.
        flip: Average with the flipped-back result of the mirror image.

    Returns:
        ``(B, C, h', w')`` of the first scale.
    """
    merged = []
    for scale in scales:
        view = image
        if scale != 1:
            view = F.interpolate(image, scale_factor=scale, mode='bilinear', align_corners=False)
        if flip:
            plain, mirrored = forward(torch.cat([view, view.flip(-1)])).chunk(2)
            maps = (plain + mirrored.flip(-1)) / 2
        else:
            maps = forward(view)
        if merged:
            maps = F.interpolate(
                maps, size=merged[0].shape[-2:], mode='bilinear', align_corners=False
            )
        merged.append(maps)
    return torch.stack(merged).mean(dim=0)
