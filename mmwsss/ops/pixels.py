"""The pixel values behind the normalised input of a network."""

import torch
from torch import Tensor

from .threads import one_thread

CRF_IMAGES = ('true', 'truncated', 'wrapped')


@one_thread()
def crf_image(inputs: Tensor, mean: Tensor, std: Tensor, kind: str = 'true') -> Tensor:
    """Undo the normalisation of an image.

    Args:
        inputs: ``(3, H, W)`` float32, normalised, of any channel order.
        mean, std: Three values each, of pixel values in 0..255.
        kind: ``'true'`` rounds, which gives the loaded image back. Two deviations behind published
            numbers: ``'truncated'`` cuts the fraction off, so that about a tenth of the values
            are one too low (DeepLabV1 on ResNet-38 of SEAM's line); ``'wrapped'`` takes the image
            minus its mean as bytes, so that values just below the mean come out near 255
            (deeplab-pytorch and CLIP-ES).

    Returns:
        ``(H, W, 3)`` uint8.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in CRF_IMAGES:
        raise ValueError(f'kind={kind!r} is not one of {CRF_IMAGES}')
    if kind == 'truncated':
        # One rounding more or less moves the cut, so the official order of operations is kept,
        # with statistics of few decimals again (float32 holds 57.12 as 57.119999).
        mean, std = (v.double().mul(1e4).round() / (1e4 * 255) for v in (mean, std))
    mean, std = (v.to(inputs).view(3, 1, 1) for v in (mean, std))
    if kind == 'true':
        pixels = (inputs * std + mean).round().clamp(0, 255)
    elif kind == 'truncated':
        pixels = (inputs * std + mean) * 255
    else:
        pixels = (inputs * std).trunc().remainder(256)
    return pixels.permute(1, 2, 0).to(torch.uint8)


@one_thread()
def truncated_pixels(inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The image that the refinement sees: pixel values behind normalised inputs, cut to integers.

    About one value in a hundred comes out one too low, as in the official codes.

    Args:
        inputs: ``(B, 3, H, W)`` float32.
        mean, std: ``(3, 1, 1)``.

    Returns:
        ``(B, 3, H, W)`` float32 in 0..255.
    """
    return (inputs * std + mean).trunc().clamp(0, 255)
