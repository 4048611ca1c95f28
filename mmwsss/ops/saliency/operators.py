"""Saliency without learning: four classical operators.

All take RGB images ``(B, 3, H, W)`` of values 0 to 255 and give ``(B, H, W)`` float32 in [0, 1],
the smallest value of an image being 0 and the largest 1 (all 0 for an image of one colour).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cam import minmax_normalize
from ..threads import one_thread

_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB of 0 to 255 to CIE L*a*b* (D65): ``(B, 3, H, W)`` -> the same shape, L in [0, 100]."""
    rgb = images.float() / 255
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = linear.new_tensor(_TO_XYZ) / linear.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum('ij,bjhw->bihw', matrix, linear)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def gaussian_blur(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian of ``(B, C, H, W)``, cut off at 3 ``sigma``; borders are repeated."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).expand(maps.shape[1], 1, -1)
    for shape, pad in (
        ((1, -1), (radius, radius, 0, 0)),
        ((-1, 1), (0, 0, radius, radius)),
    ):
        kernel = weights.reshape(maps.shape[1], 1, *shape)
        maps = F.conv2d(F.pad(maps, pad, mode='replicate'), kernel, groups=maps.shape[1])
    return maps


@one_thread()
def spectral_residual(images: Tensor, width: int = 64, sigma: float = 2.5) -> Tensor:
    """What of the spectrum is not its local average (Hou & Zhang, CVPR 2007).

    With A and P amplitude and phase of the Fourier transform of the grey image, ``width`` pixels
    wide, and h the 3 x 3 mean: |F^-1[exp(log A - h * log A + iP)]|^2, smoothed by a Gaussian of
    ``sigma`` pixels (the authors' code: 64 and 2.5).
    """
    size = images.shape[-2:]
    grey = images.float().mean(dim=1, keepdim=True)
    small = max(1, round(size[0] * width / size[1])), width
    grey = F.interpolate(grey, size=small, mode='bilinear', align_corners=False, antialias=True)
    spectrum = torch.fft.fft2(grey)
    amplitude = spectrum.abs().clamp(min=1e-6).log()
    padded = F.pad(amplitude, (1, 1, 1, 1), mode='replicate')
    residual = amplitude - F.avg_pool2d(padded, 3, stride=1)
    back = torch.fft.ifft2(torch.polar(residual.exp(), spectrum.angle()))
    maps = gaussian_blur(back.abs() ** 2, sigma)
    maps = F.interpolate(maps, size=size, mode='bilinear', align_corners=False)[:, 0]
    varied = (images.flatten(1) != images.flatten(1)[:, :1]).any(
        dim=1
    )  # else only rounding is left
    return minmax_normalize(maps, eps=1e-12) * varied[:, None, None]


@one_thread()
def frequency_tuned(images: Tensor, sigma: float = 1.0) -> Tensor:
    """Distance of the blurred colour from the mean colour in L*a*b* (Achanta et al., CVPR 2009)."""
    lab = rgb_to_lab(images)
    distance = (lab.mean(dim=(2, 3), keepdim=True) - gaussian_blur(lab, sigma)).norm(dim=1)
    return _normalized(distance)


@one_thread()
def maximum_symmetric_surround(images: Tensor, sigma: float = 1.0) -> Tensor:
    """:func:`frequency_tuned` against the mean of the largest window that the image holds around a
    pixel and that is symmetric about it (Achanta & Süsstrunk, ICIP 2010)."""
    lab = rgb_to_lab(images)
    height, width = lab.shape[-2:]
    sums = F.pad(lab.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    y, x = (torch.arange(side, device=lab.device) for side in (height, width))
    reach_y, reach_x = torch.minimum(y, height - 1 - y), torch.minimum(x, width - 1 - x)
    top, bottom = (y - reach_y)[:, None], (y + reach_y + 1)[:, None]
    left, right = x - reach_x, x + reach_x + 1
    window = sums[..., bottom, right] - sums[..., top, right]
    window = window - sums[..., bottom, left] + sums[..., top, left]
    mean = window / ((bottom - top) * (right - left))
    return _normalized((mean.float() - gaussian_blur(lab, sigma)).norm(dim=1))


@one_thread()
def border_colour(images: Tensor, strip: float = 0.06, sigma: float = 1.0) -> Tensor:
    """How little a colour is like those at the border of the image (boundary prior).

    Of the four strips along the border each has a mean and a covariance of L*a*b*; the saliency of
    a pixel is the second smallest of its four Mahalanobis distances, so that an object may touch
    one side. The prior is that of Wei et al., ECCV 2012; this form of it is ours.

    Args:
        strip: Width of the strips as a share of the sides.
    """
    lab = gaussian_blur(rgb_to_lab(images), sigma)
    rows, columns = (max(1, round(strip * side)) for side in lab.shape[-2:])
    strips = lab[..., :rows, :], lab[..., -rows:, :], lab[..., :columns], lab[..., -columns:]
    distances = torch.stack([_mahalanobis(lab, border) for border in strips])
    return _normalized(distances.sort(dim=0).values[1])


def _mahalanobis(lab: Tensor, border: Tensor) -> Tensor:
    """Distance of every pixel ``(B, 3, H, W)`` from the colours of ``border``: ``(B, H, W)``."""
    colours = border.flatten(2)
    mean = colours.mean(dim=2, keepdim=True)
    centred = colours - mean
    covariance = centred @ centred.transpose(1, 2) / colours.shape[2]
    covariance = covariance + 4.0 * torch.eye(3, device=lab.device)  # a ground of one colour
    offset = lab.flatten(2) - mean
    squared = (offset * torch.linalg.solve(covariance, offset)).sum(dim=1)
    return squared.clamp(min=0).sqrt().view(len(lab), *lab.shape[2:])


def _normalized(distance: Tensor) -> Tensor:
    """Min-max, but 0 where an image shows no difference that an eye could see."""
    visible = distance.amax(dim=(1, 2), keepdim=True) > 1e-2
    return minmax_normalize(distance, eps=1e-12) * visible


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    'spectral_residual': spectral_residual,
    'frequency_tuned': frequency_tuned,
    'maximum_symmetric_surround': maximum_symmetric_surround,
    'border_colour': border_colour,
}
