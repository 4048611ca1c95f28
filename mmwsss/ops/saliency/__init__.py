"""From saliency and activation maps to label maps (WSSS-BED)."""

import torch
from torch import Tensor

from ..threads import one_thread


@one_thread()
def saliency_guided_label(
    activation: Tensor,
    classes: Tensor,
    saliency: Tensor | None,
    tau: float = 0.0,
    sal_thresh: float = 0.2,
    ignore: bool = False,
    ignore_index: int = 255,
) -> Tensor:
    """Label map by activation maps for the class and saliency for the background.

    With a_c the activations and b the saliency, all float32 in [0, 1] (bytes are divided by 255):

    1. ``sal_thresh > 0``: b becomes 1 where b > sal_thresh and 0 elsewhere. With
       ``sal_thresh == 0`` it stays soft.
    2. a_c < tau counts as 0.
    3. The label is the argmax of [1 - b, a_1, a_2, ...]; the first, then the lowest class wins a
       tie, so nothing that is not salient is ever foreground.
    4. ``ignore``: background with b > 0 becomes ``ignore_index``.

    Without saliency it is the argmax of [tau, a_1, a_2, ...] (EPS, L2G), so that a_c = tau is
    background there and foreground above.

    Args:
        activation: ``(B, K, H, W)`` uint8, or floats in [0, 1].
        classes: ``(B, K)`` 0-based foreground class of each map, -1 for none.
        saliency: ``(B, H, W)`` uint8, or floats in [0, 1]; None: not used.
        tau, sal_thresh: Thresholds of the activations and of the saliency.
        ignore: As above; must be False without saliency.

    Returns:
        ``(B, H, W)`` uint8: 0 background, class index + 1, or ``ignore_index``.

    Raises:
        ValueError: Shapes do not fit, a class has no place in 8 bits, or ``ignore`` without
            saliency.

    Source: wsss_bed/run.py (clovaai/WSSS-BED), arXiv 2404.00918.
    """
    check_label_input(activation, classes, saliency)
    if ignore and saliency is None:
        raise ValueError('ignore=True needs saliency: without it nothing is known to be foreground')
    best, winner = strongest(activation, classes)
    if saliency is None:
        return torch.where(best > tau, winner, 0)
    soft = as_unit(saliency)
    if sal_thresh > 0:
        soft = (soft > sal_thresh).float()
    best = best.where(best >= tau, 0)
    label = torch.where(best > 1 - soft, winner, 0)
    if ignore:
        label = label.masked_fill((soft > 0) & (label == 0), ignore_index)
    return label


def as_unit(maps: Tensor) -> Tensor:
    """Bytes as float32 in [0, 1]; floats as float32."""
    return maps.float() / 255 if maps.dtype == torch.uint8 else maps.float()


def quantize(maps: Tensor) -> Tensor:
    """Maps in [0, 1] as bytes, rounded to the nearest (half to even) as ``cv2.imwrite`` does."""
    return (maps.float() * 255).round().clamp(0, 255).to(torch.uint8)


def strongest(activation: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The largest activation of every pixel and its label, the lowest class at a tie.

    Args:
        activation: ``(B, K, H, W)`` uint8 or float.
        classes: ``(B, K)`` 0-based, -1 for none.

    Returns:
        ``(B, H, W)`` float32 in [0, 1], and uint8 class index + 1; without meaning where the
        activation is 0.
    """
    num_images, num_maps, height, width = activation.shape
    if num_maps == 0:
        nothing = activation.new_zeros(num_images, height, width, dtype=torch.uint8)
        return nothing.float(), nothing
    order = classes.argsort(dim=1)
    classes = classes.gather(1, order)
    images = torch.arange(num_images, device=order.device)[:, None]
    absent = (classes < 0)[..., None, None]
    best, place = activation[images, order].masked_fill(absent, 0).max(dim=1)
    label = (classes + 1).to(torch.uint8).gather(1, place.flatten(1)).view_as(place)
    return as_unit(best), label


def check_label_input(activation: Tensor, classes: Tensor, saliency: Tensor | None) -> None:
    """Raise ValueError unless shapes fit and classes have a place in 8 bits."""
    shape = tuple(activation.shape)
    if activation.ndim != 4 or tuple(classes.shape) != shape[:2]:
        raise ValueError(
            f'activation of shape {shape} does not fit classes of shape {tuple(classes.shape)}; '
            'expected (B, K, H, W) and (B, K)'
        )
    if saliency is not None and tuple(saliency.shape) != (shape[0], *shape[2:]):
        raise ValueError(
            f'saliency of shape {tuple(saliency.shape)} does not fit activation of shape {shape}'
        )
    if classes.numel() and (classes.max() > 253 or classes.min() < -1):
        raise ValueError(f'classes must be -1 or 0..253, got {classes.unique().tolist()}')
