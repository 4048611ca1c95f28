"""Pixel-adaptive refinement of score maps.

PAR (AFA, arXiv 2203.02664, section 3.4) and its forerunner PAMR (1-Stage, arXiv 2005.08104,
section 3.3): scores are averaged over near pixels of similar colour, again and again. The weights
depend on the image alone, so maps that share an image go in as channels of one call.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import one_thread
from .cpu import average_rounds, colour_weights
from .kernel import ColourKernel

DILATIONS = (1, 2, 4, 8, 12, 24)
_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def _shifts(dilations: Sequence[int]) -> list[tuple[int, int]]:
    return [(dy * d, dx * d) for d in dilations for dy, dx in _DIRECTIONS]


@one_thread()
def _pad(x: Tensor, dilations: Sequence[int]) -> tuple[Tensor, list[tuple[int, int]]]:
    """``x`` with replicated borders, and where in it each neighbour's view begins."""
    reach = max(dilations)
    padded = F.pad(x, (reach,) * 4, mode='replicate')
    return padded, [(reach + dy, reach + dx) for dy, dx in _shifts(dilations)]


def _neighbours(x: Tensor, dilations: Sequence[int]):
    """Yield ``x`` (..., H, W) seen from each neighbour offset, borders replicated."""
    h, w = x.shape[-2:]
    padded, shifts = _pad(x, dilations)
    for top, left in shifts:
        yield padded[..., top : top + h, left : left + w]


def _tensor_average(masks: Tensor, weights: Tensor, dilations: Sequence[int]) -> Tensor:
    """``sum_n W_n mask_n`` of masks ``(B, C, H, W)`` with weights ``(B, n, H, W)``, anywhere."""
    total = torch.zeros_like(masks)
    for n, neighbour in enumerate(_neighbours(masks, dilations)):
        total.addcmul_(neighbour, weights[:, n : n + 1])
    return total


def _tensor_weights(
    image: Tensor, dilations: Sequence[int], kernel: ColourKernel, offset: Tensor
) -> Tensor:
    """Colour kernel plus an ``offset`` (n,), on any device; no 48-fold copy but the result."""
    count = len(offset)
    centres = len(dilations) if kernel.with_centre else 0
    mean = torch.zeros_like(image)
    for neighbour in _neighbours(image, dilations):
        mean += neighbour - image
    mean /= count + centres
    var = centres * mean.square()
    for neighbour in _neighbours(image, dilations):
        deviation = neighbour - image - mean
        var.addcmul_(deviation, deviation)
    std = (var / (count + centres - 1)).sqrt_()
    inverse = (kernel.width * (std + kernel.epsilon)).reciprocal_()
    logits = image.new_empty(image.shape[0], count, *image.shape[2:])
    for n, neighbour in enumerate(_neighbours(image, dilations)):
        distance = ((neighbour - image) * inverse).abs_().pow_(kernel.power)
        torch.mean(distance, dim=1, out=logits[:, n])
    return logits.neg_().softmax(dim=1).add_(offset[:, None, None])


def _colour_weights(
    image: Tensor, dilations: Sequence[int], kernel: ColourKernel, offset: Tensor
) -> Tensor:
    image = image.detach().float()
    if image.device.type == 'cpu':
        return colour_weights(*_pad(image, dilations), max(dilations), kernel, offset)
    return _tensor_weights(image, dilations, kernel, offset)


def par_weights(
    image: Tensor,
    dilations: Sequence[int] = DILATIONS,
    w1: float = 0.3,
    w2: float = 0.01,
) -> Tensor:
    """Affinity of every pixel to its neighbours in colour and position (PAR).

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
    shifts = torch.tensor(_shifts(dilations), dtype=torch.float32, device=image.device)
    distance = shifts.norm(dim=1)
    position = (-((distance / (distance.std() + 1e-8) / w1) ** 2)).softmax(dim=0)
    return _colour_weights(image, dilations, ColourKernel(w1, 1e-8, 2, False), w2 * position)


def pamr_weights(image: Tensor, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Affinity of every pixel to its neighbours in colour (PAMR).

    ``softmax_n(mean_c -|I_n - I_0| / (1e-8 + 0.1 std))``; the std, unbiased, is that of the
    neighbours and of the centre, which counts once per dilation.

    Args:
        image: ``(B, 3, H, W)``, any affine colour scale.
        dilations: Distances of the eight neighbours.

    Returns:
        ``(B, 8 * len(dilations), H, W)``; sums to 1 over dimension 1.
    """
    none = image.new_zeros(len(_DIRECTIONS) * len(dilations), dtype=torch.float32)
    return _colour_weights(image, dilations, ColourKernel(0.1, 1e-7, 1, True), none)


def average_neighbours(
    masks: Tensor, weights: Tensor, dilations: Sequence[int] = DILATIONS, iterations: int = 10
) -> Tensor:
    """``mask <- sum_n W_n mask_n``, several times.

    Summed neighbour by neighbour, so that no ``(B, C, 48, H, W)`` copy is ever made.

    Args:
        masks: ``(B, C, H, W)``; the channels are independent.
        weights: ``(B, 8 * len(dilations), H, W)`` of :func:`par_weights` or :func:`pamr_weights`.
        dilations: Those of the weights.
        iterations: Rounds.

    Returns:
        ``(B, C, H, W)`` float32, without gradient.

    Raises:
        ValueError: The shapes do not fit.
    """
    expected = (masks.shape[0], len(_DIRECTIONS) * len(dilations), *masks.shape[-2:])
    if weights.shape != expected:
        raise ValueError(
            f'masks {tuple(masks.shape)} and dilations {tuple(dilations)} need weights of shape '
            f'{expected}, got {tuple(weights.shape)}'
        )
    masks = masks.detach().float()
    if masks.device.type == 'cpu':
        reach = max(dilations)
        shifts = [(reach + dy, reach + dx) for dy, dx in _shifts(dilations)]
        return average_rounds(masks, weights, shifts, reach, iterations)
    for _ in range(iterations):
        masks = _tensor_average(masks, weights, dilations)
    return masks


@one_thread()
def _same_size(image: Tensor, masks: Tensor, resize: str) -> tuple[Tensor, Tensor]:
    """Bring one to the other's size; both ``(B, ., h, w)``."""
    if resize not in ('image', 'masks'):
        raise ValueError(f"resize must be 'image' or 'masks', not {resize!r}")
    if image.shape[0] != masks.shape[0]:
        raise ValueError(f'{image.shape[0]} images do not fit the masks of {masks.shape[0]}')
    if image.shape[-2:] == masks.shape[-2:]:
        return image, masks
    options = dict(mode='bilinear', align_corners=True)
    if resize == 'image':
        return F.interpolate(image.float(), size=masks.shape[-2:], **options), masks
    return image, F.interpolate(masks.float(), size=image.shape[-2:], **options)


@torch.no_grad()
def pixel_adaptive_refine(
    image: Tensor,
    masks: Tensor,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 20,
    w1: float = 0.3,
    w2: float = 0.01,
    resize: str = 'image',
) -> Tensor:
    """PAR: :func:`average_neighbours` with :func:`par_weights`.

    Args:
        image: ``(B, 3, h, w)``, any affine colour scale.
        masks: ``(B, C, H, W)``.
        iterations: 10 (AFA on VOC, ToCo, DuPL, SeCo), 15 (AFA on COCO), 20 (WeCLIP, ExCEL).
        resize: What is resized if the sizes differ (bilinear, ``align_corners=True``): the
            ``'image'`` (WeCLIP) or the ``'masks'`` (AFA).

    Returns:
        ``(B, C, ., .)`` float32, of the size that was not resized; every round multiplies the
        sum of a map by about ``1 + w2``.

    Raises:
        ValueError: No such ``resize``, or the batch sizes differ.
    """
    image, masks = _same_size(image, masks, resize)
    return average_neighbours(masks, par_weights(image, dilations, w1, w2), dilations, iterations)


@torch.no_grad()
def pamr(
    image: Tensor,
    masks: Tensor,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    resize: str = 'image',
) -> Tensor:
    """PAMR: :func:`average_neighbours` with :func:`pamr_weights`.

    Args:
        image: ``(B, 3, h, w)``, any affine colour scale.
        masks: ``(B, C, H, W)``.
        resize: What is resized if the sizes differ (bilinear, ``align_corners=True``): the
            ``'image'`` (1-Stage) or the ``'masks'``.

    Returns:
        ``(B, C, ., .)`` float32, of the size that was not resized. Maps that sum to 1 over the
        channels still do.

    Raises:
        ValueError: No such ``resize``, or the batch sizes differ.
    """
    image, masks = _same_size(image, masks, resize)
    return average_neighbours(masks, pamr_weights(image, dilations), dilations, iterations)
