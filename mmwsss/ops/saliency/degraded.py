"""True foreground with the faults that saliency models have."""

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from .operators import gaussian_blur

LEVELS = {
    'good': dict(blur=1.0, missed=0.03, false=0.3, noise=0.05),
    'fair': dict(blur=2.5, missed=0.12, false=0.6, noise=0.12),
    'poor': dict(blur=4.0, missed=0.25, false=1.2, noise=0.2),
}
"""Pixels of blur (at 100 pixels of the image), share of connected regions that are missed, discs
that are none on average, and amplitude of smooth noise."""


def degraded(foreground: Tensor, level: str, seed: int) -> Tensor:
    """Saliency from a mask, worse by :data:`LEVELS`.

    Args:
        foreground: ``(H, W)`` bool.
        level: A key of :data:`LEVELS`.
        seed: Of this image; the same seed gives the same map.

    Returns:
        ``(H, W)`` float32 in [0, 1].
    """
    faults, generator = LEVELS[level], torch.Generator().manual_seed(seed)
    height, width = foreground.shape
    unit = min(height, width) / 100
    regions = torch.from_numpy(ndimage.label(foreground.numpy())[0]).long()
    kept = torch.rand(int(regions.max()) + 1, generator=generator) >= faults['missed']
    kept[0] = False
    salient = kept[regions].float()
    y, x = torch.arange(height)[:, None], torch.arange(width)
    for _ in range(int(torch.poisson(torch.tensor(faults['false']), generator=generator))):
        a, b, c, d = torch.rand(4, generator=generator).tolist()
        disc = (y - a * height) ** 2 + (x - b * width) ** 2 < ((5 + 10 * c) * unit) ** 2
        salient = salient.maximum((0.3 + 0.6 * d) * disc)
    salient = gaussian_blur(salient[None, None], faults['blur'] * unit)
    noise = torch.randn(1, 1, 8, 8, generator=generator)
    noise = F.interpolate(noise, size=(height, width), mode='bilinear', align_corners=False)
    return (salient + faults['noise'] * noise)[0, 0].clamp(0, 1)
