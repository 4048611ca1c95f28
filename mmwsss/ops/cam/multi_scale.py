"""CAMs over several scales and mirror images, made while a network trains (AFA, ToCo, DuPL)."""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..multi_view import view_batches
from ..pairs import pack_present
from . import merge_cams


def multi_scale_cams(
    forward: Callable[[Tensor, float], Tensor],
    inputs: Tensor,
    image_labels: Tensor,
    scales: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """CAMs of the classes in the image labels (convention ``flipmax`` of :func:`merge_cams`).

    Args:
        forward: ``(batch (2B, 3, h, w), scale) -> raw maps (2B, C_fg, h', w')``; the second half
            of the batch are the mirror images of the first.
        inputs: Normalised images ``(B, 3, H, W)``.
        image_labels: Multi-hot ``(B, C_fg)``.
        scales: Factors on the image size.

    Returns:
        ``(B, K, H, W)`` in [0, 1] and the classes ``(B, K)``, -1 for none.
    """
    views = []
    batches = view_batches(inputs, scales, flip=True, resize='floor')
    for scale, batch in zip(scales, batches, strict=True):
        plain, mirrored = forward(batch, scale).float().chunk(2)
        views += [pack_present(view, image_labels) for view in (plain, mirrored.flip(-1))]
    cams = merge_cams((maps for maps, _ in views), inputs.shape[-2:], 'flipmax')
    return cams, views[0][1]
