"""Pixel-adaptive refinement of score maps: PAR (AFA, arXiv 2203.02664, section 3.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def _shifts(dilations: Sequence[int]) -> list[tuple[int, int]]:
    return [(dy * d, dx * d) for d in dilations for dy, dx in _DIRECTIONS]


def _neighbours(x: Tensor, dilations: Sequence[int]):
    """Yield ``x`` (..., H, W) seen from each neighbour offset, borders replicated."""
    h, w = x.shape[-2:]
    reach = max(dilations)
    padded = F.pad(x, (reach,) * 4, mode='replicate')
    for dy, dx in _shifts(dilations):
        yield padded[..., reach + dy : reach + dy + h, reach + dx : reach + dx + w]


def _average(masks: Tensor, weights: Tensor, dilations: Sequence[int]) -> Tensor:
    """``sum_n W_n mask_n`` of masks ``(B, C, H, W)`` with weights ``(B, n, H, W)``."""
    if masks.device.type == 'cpu':
        from .pixel_adaptive_cpu import weighted_neighbour_sum  # numba takes a second to import

        reach = max(dilations)
        padded = F.pad(masks, (reach,) * 4, mode='replicate')
        shifts = [(reach + dy, reach + dx) for dy, dx in _shifts(dilations)]
        return weighted_neighbour_sum(padded, weights, shifts)
    total = torch.zeros_like(masks)
    for n, neighbour in enumerate(_neighbours(masks, dilations)):
        total.addcmul_(neighbour, weights[:, n : n + 1])
    return total


def par_weights(
    image: Tensor,
    dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
    w1: float = 0.3,
    w2: float = 0.01,
) -> Tensor:
    """Affinity of every pixel to its neighbours in colour and position.

    ``softmax_n(mean_c -(|I_n - I_0| / (std_n + 1e-8) / w1)^2)
    + w2 softmax_n(-(d_n / (std(d) + 1e-8) / w1)^2)``; std over the neighbours, unbiased.

    Args:
        image: ``(B, 3, H, W)``, any affine colour scale (the std makes it scale-free).
        dilations: Distances of the eight neighbours.
        w1: Kernel width.
        w2: Weight of the position kernel.

    Returns:
        ``(B, 8 * len(dilations), H, W)``; sums to ``1 + w2`` over dimension 1.
    """
    count = len(_DIRECTIONS) * len(dilations)
    total, squares = torch.zeros_like(image), torch.zeros_like(image)
    for neighbour in _neighbours(image, dilations):
        difference = neighbour - image
        total += difference
        squares.addcmul_(difference, difference)
    # the std of the neighbours is that of their differences to the centre
    var = (squares - total * total / count) / (count - 1)
    inverse = (var.clamp_(min=0).sqrt_().add_(1e-8) * w1).reciprocal_()
    logits = image.new_empty(image.shape[0], count, *image.shape[2:])
    for n, neighbour in enumerate(_neighbours(image, dilations)):
        difference = (neighbour - image).mul_(inverse)
        torch.mean(difference.square_(), dim=1, out=logits[:, n])
    logits.neg_()
    distance = image.new_tensor([max(abs(y), abs(x)) for y, x in _shifts(dilations)])
    diagonal = image.new_tensor([2**0.5 if y and x else 1.0 for y, x in _shifts(dilations)])
    distance = distance * diagonal
    position = (-((distance / (distance.std() + 1e-8) / w1) ** 2)).softmax(dim=0)
    return logits.softmax(dim=1).add_(w2 * position[:, None, None])


def pixel_adaptive_refine(
    image: Tensor,
    masks: Tensor,
    dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
    iterations: int = 20,
    w1: float = 0.3,
    w2: float = 0.01,
) -> Tensor:
    """PAR: average score maps over similar neighbours, again and again.

    ``mask <- sum_n W_n mask_n`` with the weights of :func:`par_weights`, summed neighbour by
    neighbour so that no ``(B, C, 48, H, W)`` copy is ever made.

    Args:
        image: ``(B, 3, h, w)``; resized to the masks' size (bilinear, ``align_corners=True``).
        masks: ``(B, C, H, W)``.

    Returns:
        ``(B, C, H, W)`` float32.
    """
    if image.shape[-2:] != masks.shape[-2:]:
        image = F.interpolate(image, size=masks.shape[-2:], mode='bilinear', align_corners=True)
    weights = par_weights(image.float(), dilations, w1, w2)
    masks = masks.detach().float()
    for _ in range(iterations):
        masks = _average(masks, weights, dilations)
    return masks
