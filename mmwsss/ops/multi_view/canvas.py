"""Views of an image on a fixed canvas and their mean: the multi-scale test of 1-Stage.

A network with global pooling sees the padding around an image, so its scores depend on the canvas.
:func:`canvas_views` makes the views, :func:`merge_canvas_views` runs a network on them and
averages its masks, :func:`restrict_classes` applies what is known about the classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resize import upsample
from ..threads import one_thread
from . import make_resize

PADS = ('fixed', 'none')


@dataclass(frozen=True)
class CanvasView:
    """A batch at one scale, plain or mirrored.

    Attributes:
        inputs: Normalised ``(B, 3, h, w)``, zero outside ``box``.
        box: Top, left, height and width of the images in it.
        flipped: Whether the images are mirrored.
    """

    inputs: Tensor
    box: tuple[int, int, int, int]
    flipped: bool


def canvas_views(
    inputs: Tensor,
    scales: Sequence[float],
    flip: bool,
    mean: Tensor,
    std: Tensor,
    pad: str = 'fixed',
    canvas: int | tuple[int, int] = 1024,
) -> Iterator[CanvasView]:
    """Scaled, mirrored and padded copies of a batch (Araslanov and Roth, arXiv 2005.08104).

    Pillow's cubic filter on the uint8 pixels, to sizes rounded half to even; padding in equal
    parts, the odd pixel below and to the right.

    Args:
        inputs: Normalised images ``(B, 3, H, W)`` of one size, without padding.
        scales: Factors on the image size.
        flip: Each scale is followed by its mirror image.
        mean, std: The normalisation, three values each, of pixel values in 0..255.
        pad: ``'fixed'``: every view lies in the middle of a canvas of zeros (the colour ``mean``),
            as in the official code; ``'none'``: every view keeps its own size, which is faster and
            gives other numbers.
        canvas: Side, or height and width, of the canvas; not used with ``pad='none'``.

    Yields:
        One view per scale, or two with ``flip``.

    Raises:
        ValueError: Unknown ``pad``, or a view larger than the canvas.
    """
    if pad not in PADS:
        raise ValueError(f'pad={pad!r} is not one of {PADS}')
    canvas = (canvas, canvas) if isinstance(canvas, int) else tuple(canvas)
    resize = make_resize('pil_cubic', mean, std)
    if pad == 'fixed':
        _check_fits(tuple(inputs.shape[-2:]), scales, canvas)
    for scale in scales:
        scaled = inputs if scale == 1 else resize(inputs, scale)
        size = tuple(scaled.shape[-2:])
        for flipped in (False, True) if flip else (False,):
            view = scaled.flip(-1) if flipped else scaled
            top, left = 0, 0
            if pad == 'fixed':
                (top, bottom), (left, right) = (
                    _margins(side, full) for side, full in zip(size, canvas, strict=True)
                )
                view = F.pad(view, (left, right, top, bottom))
            yield CanvasView(view, (top, left, *size), flipped)


def merge_canvas_views(
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    views: Iterable[CanvasView],
    size: tuple[int, int],
    views_per_batch: int = 2,
) -> tuple[Tensor, Tensor]:
    """Run a network on views, average its masks and keep its highest class scores.

    Args:
        forward: ``(N, 3, h, w)`` -> class scores ``(N, K)`` and masks ``(N, C, h, w)`` of the
            size of its input.
        views: From :func:`canvas_views`.
        size: ``(H, W)`` of the images.
        views_per_batch: So many views of the same size run as one batch. The result does not
            depend on it if the network treats every image alone; memory does.

    Returns:
        The largest score of every class ``(B, K)``, and the mean of the masks ``(B, C, H, W)``.

    Raises:
        ValueError: There is no view.
    """
    best, total, count = None, None, 0
    for batch in _batches(views, views_per_batch):
        scores, masks = forward(torch.cat([view.inputs for view in batch]))
        best_here = scores.unflatten(0, (len(batch), -1)).amax(0)
        best = best_here if best is None else torch.maximum(best, best_here)
        for view, mask in zip(batch, masks.chunk(len(batch)), strict=True):
            with one_thread():  # not around the network
                mask = cut_view(mask, view.box, view.flipped, size)
                total = mask if total is None else total + mask
        count += len(batch)
    if total is None:
        raise ValueError('there is no view to merge')
    return best, total / count


def cut_view(
    masks: Tensor, box: tuple[int, int, int, int], flipped: bool, size: tuple[int, int]
) -> Tensor:
    """Cut the padding off, resize (bilinear, ``align_corners=False``) and mirror back.

    Args:
        masks: ``(..., h, w)``.
        box: Top, left, height and width of the image in them.
        flipped: Whether the image is mirrored.
        size: ``(H, W)`` of the image.

    Returns:
        ``(..., H, W)``.
    """
    top, left, height, width = box
    maps = upsample(masks[..., top : top + height, left : left + width], size)
    return maps.flip(-1) if flipped else maps


@one_thread()
def restrict_classes(prob: Tensor, present: Tensor, background_power: float = 1.0) -> Tensor:
    """Remove absent classes and sharpen the background.

    Args:
        prob: Mean masks in [0, 1], background first, ``(B, 1 + K, H, W)``.
        present: Multi-hot ``(B, K)`` of the classes that may appear.
        background_power: The background becomes ``background ** background_power``; larger
            means less background.

    Returns:
        Scores like ``prob``; those of a pixel need not add up to 1.
    """
    background, foreground = prob[:, :1], prob[:, 1:]
    foreground = foreground * present[:, :, None, None].to(prob)
    return torch.cat([background**background_power, foreground], dim=1)


def _margins(side: int, full: int) -> tuple[int, int]:
    before = (full - side) // 2
    return before, full - side - before


def _check_fits(size: tuple[int, int], scales: Sequence[float], canvas: tuple[int, int]) -> None:
    scale = max(scales, default=1)
    height, width = (round(side * scale) for side in size)
    if height > canvas[0] or width > canvas[1]:
        raise ValueError(
            f'an image of {size[0]} x {size[1]} (height x width) at scale {scale:g} is {height} x '
            f'{width} and does not fit on the canvas of {canvas[0]} x {canvas[1]}: set '
            f'model.test_cfg.canvas to at least {max(height, width)}, leave the scale out, or take '
            "model.test_cfg.pad='none'"
        )


def _batches(views: Iterable[CanvasView], limit: int) -> Iterator[list[CanvasView]]:
    """Consecutive views of one size, at most ``limit`` at a time."""
    for _, same in groupby(views, key=lambda view: view.inputs.shape):
        while batch := list(islice(same, limit)):
            yield batch
