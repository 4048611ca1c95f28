"""Multi-scale and flip inference: the views of a batch, and the merging of class scores.

A *view* is the batch at one scale, plain or mirrored. :func:`view_maps` runs a network on all of
them, an image and its mirror image in one batch, and gives maps that are already mirrored back;
:func:`merge_logits` here and :func:`mmwsss.ops.cam.merge_cams` reduce them to one map.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resample import resize_opencv, resize_pillow
from ..resize import upsample
from ..threads import one_thread

Size = tuple[int, int]
Resize = Callable[[Tensor, float | Size], Tensor]
MERGES = ('logit_mean', 'logit_max', 'logit_pair_max', 'prob_mean', 'prob_max')


def resize_long_side(image: Tensor, long_side: int) -> Tensor:
    """Bilinear resize (no antialias) so that the longer side is ``long_side``.

    Args:
        image: ``(B, C, H, W)``; sizes become ``int(side * long_side / max(H, W))``.
    """
    h, w = image.shape[-2:]
    ratio = long_side / max(h, w)
    size = (int(h * ratio), int(w * ratio))
    return F.interpolate(image, size=size, mode='bilinear', align_corners=False)


def make_resize(name: str, mean: Tensor | None = None, std: Tensor | None = None) -> Resize:
    """Function ``(normalised batch, factor or size) -> batch`` of one of the published conventions.

    ============= ========================================================= ====================
    name          resampling                                                size
    ============= ========================================================= ====================
    ``factor``    bilinear, sampling step exactly 1 / factor                floor (WeCLIP, MSC)
    ``floor``     bilinear, sampling step from the sizes                    floor (AFA, ToCo)
    ``corners``   bilinear, ``align_corners=True``                          floor (MCTformer)
    ``cv2_cubic`` OpenCV's cubic filter on the normalised values            round half to even
    ``pil_cubic`` Pillow's (antialiased) cubic filter on the uint8 image    round half to even
    ============= ========================================================= ====================

    Args:
        name: One of the above. ``cv2_cubic`` is DeepLabV1's test (YudeWang), ``pil_cubic`` PSA's
            and IRN's.
        mean, std: Normalisation ``(3, 1, 1)``, needed by ``pil_cubic`` alone, which goes back to
            the pixel values (exactly: they are integers).

    Raises:
        ValueError: Unknown name, or ``pil_cubic`` without the normalisation.
    """
    if name == 'pil_cubic':
        if mean is None or std is None:
            raise ValueError("resize='pil_cubic' works on pixel values: give mean and std")
        return lambda batch, factor: _resize_pil(batch, factor, mean, std)
    if name not in RESIZES:
        raise ValueError(f'resize={name!r} is not one of {list(RESIZES)}')
    return _RESIZES[name]


def resize_to_multiple(
    image: Tensor, scale: float, multiple: int, mean: Tensor, std: Tensor
) -> Tensor:
    """Resize so that both sides are multiples of the patch (CLIP-ES).

    Pillow's (antialiased) cubic filter on the exact uint8 image, to ``ceil(scale * side /
    multiple) * multiple``; the aspect may change slightly.

    Args:
        image: Normalised, ``(3, H, W)``.
        scale: Factor on the size.
        multiple: Side of a patch.
        mean, std: The normalisation, ``(3, 1, 1)``.

    Returns:
        ``(3, h, w)``.
    """
    size = tuple(math.ceil(scale * side / multiple) * multiple for side in image.shape[-2:])
    return image if size == image.shape[-2:] else _resize_pil(image[None], size, mean, std)[0]


def view_batches(
    inputs: Tensor,
    scales: Sequence[float],
    flip: bool,
    resize: Resize | str = 'factor',
    sizes: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """The batches a network sees, one per scale.

    Args:
        inputs: Normalised images ``(B, 3, H, W)``, all of the same size, without padding.
        scales: Factors on the image size; 1 leaves the batch as it is.
        flip: Append the mirror images.
        resize: A name for :func:`make_resize`, or its result.
        sizes: Sides of square views, in place of ``scales`` (TransCAM: 256, 512, 768).

    Yields:
        ``(B, 3, h, w)``, or ``(2B, 3, h, w)`` with ``flip``: the images, then their mirror images.
    """
    resize = make_resize(resize) if isinstance(resize, str) else resize
    targets = [(side, side) for side in sizes] if sizes else scales
    for target in targets:
        with one_thread():  # not around the network that takes the views
            view = inputs if target in (1, tuple(inputs.shape[-2:])) else resize(inputs, target)
            view = torch.cat([view, view.flip(-1)]) if flip else view
        yield view


def view_maps(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    scales: Sequence[float],
    flip: bool,
    resize: Resize | str = 'factor',
    sizes: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Maps of every view, mirrored back, in the order scale, its mirror image, next scale, ...

    Args:
        forward: ``(N, 3, h, w) -> (N, C, h', w')``.
        inputs, scales, flip, resize, sizes: As in :func:`view_batches`.

    Yields:
        ``(B, C, h', w')``, one per scale or size, or twice as many with ``flip``.
    """
    for batch in view_batches(inputs, scales, flip, resize, sizes):
        maps = forward(batch)
        if flip:
            plain, mirrored = maps.chunk(2)
            yield plain
            yield mirrored.flip(-1)
        else:
            yield maps


def pair_means(views: Iterable[Tensor]) -> Iterator[Tensor]:
    """Mean of each view and its mirror image (:func:`view_maps` with ``flip``)."""
    views = iter(views)
    for plain, mirrored in zip(views, views, strict=True):
        yield (plain + mirrored) / 2


def merge_logits(
    views: Iterable[Tensor],
    size: Size | None = None,
    mode: str = 'logit_mean',
    align_corners: bool = False,
    flip: bool = False,
) -> Tensor:
    """Reduce the class scores of several views to one map.

    ================== ================================================== =======================
    mode               of the views                                       published by
    ================== ================================================== =======================
    ``logit_mean``     mean of the logits                                 DeepLabV1 on ResNet-38,
                                                                          WeCLIP
    ``logit_max``      maximum of the logits                              DeepLabV2's MSC
    ``logit_pair_max`` mean of a view and its mirror image, then maximum  AFA, ToCo
    ``prob_mean``      mean of the softmax probabilities                  mmseg
    ``prob_max``       maximum of the softmax probabilities               MCTformer
    ================== ================================================== =======================

    Args:
        views: ``(..., C, h, w)`` logits, as :func:`view_maps` gives them; taken one at a time.
        size: Every view is brought to it (bilinear) before the reduction; None: the size of the
            first view.
        mode: One of the above.
        align_corners: Of the bilinear resizing.
        flip: Whether every other view is a mirror image (matters for ``logit_pair_max`` only).

    Returns:
        ``(..., C, *size)``: logits for ``logit_*``, probabilities for ``prob_*`` (which add up to
        1 for ``'prob_mean'`` only).

    Raises:
        ValueError: Unknown mode, or no view.
    """
    if mode not in MERGES:
        raise ValueError(f'mode={mode!r} is not one of {list(MERGES)}')
    kind, reduction = mode.split('_', 1)
    if reduction == 'pair_max' and flip:
        views = pair_means(views)
    merged, count = None, 0
    for view in views:
        size = size or view.shape[-2:]
        with one_thread():  # not around the network that makes the views
            maps = upsample(view, size, align_corners)
            maps = maps.softmax(dim=-3) if kind == 'prob' else maps
            if merged is None:
                merged = maps
            else:
                merged = merged + maps if reduction == 'mean' else torch.maximum(merged, maps)
        count += 1
    if merged is None:
        raise ValueError('there is no view to merge')
    with one_thread():
        return merged / count if reduction == 'mean' else merged


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
    return merge_logits(view_maps(forward, image, scales, flip))


def _bilinear(batch: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    return F.interpolate(batch, size=size, mode='bilinear', align_corners=align_corners)


def _resize_factor(batch: Tensor, to: float | Size) -> Tensor:
    if isinstance(to, tuple):
        return _bilinear(batch, to)
    return F.interpolate(batch, scale_factor=to, mode='bilinear', align_corners=False)


def _resize_floor(batch: Tensor, to: float | Size, align_corners: bool = False) -> Tensor:
    size = to if isinstance(to, tuple) else tuple(int(side * to) for side in batch.shape[-2:])
    return _bilinear(batch, size, align_corners)


def _resize_corners(batch: Tensor, to: float | Size) -> Tensor:
    return _resize_floor(batch, to, align_corners=True)


def _resize_cv2(batch: Tensor, to: float | Size) -> Tensor:
    if isinstance(to, tuple):
        return resize_opencv(batch, to)
    return resize_opencv(batch, _rounded(batch, to), factor=to)


def _resize_pil(batch: Tensor, to: float | Size, mean: Tensor, std: Tensor) -> Tensor:
    """Pillow's cubic filter on the pixel values behind a normalised batch."""
    size = to if isinstance(to, tuple) else _rounded(batch, to)
    mean, std = (value.to(batch).view(-1, 1, 1) for value in (mean, std))
    pixels = (batch * std + mean).round().clamp(0, 255).byte()
    return (resize_pillow(pixels, size).to(batch) - mean) / std


def crop_pixels(image: Tensor, boxes: Tensor, size: Size, mean: Tensor, std: Tensor) -> Tensor:
    """Boxes of an image, resized with Pillow's (antialiased) bilinear filter on the uint8 pixels.

    Args:
        image: Normalised, ``(3, H, W)``.
        boxes: ``(M, 4)`` y0, y1, x0, x1, ends excluded.
        size: New height and width of all.
        mean, std: The normalisation, ``(3, 1, 1)``.

    Returns:
        Normalised ``(M, 3, *size)``.
    """
    mean, std = (value.to(image).view(-1, 1, 1) for value in (mean, std))
    pixels = (image * std + mean).round().clamp(0, 255).byte()
    crops = [
        resize_pillow(pixels[:, y0:y1, x0:x1], size, 'bilinear')
        for y0, y1, x0, x1 in boxes.tolist()
    ]
    return (torch.stack(crops).to(image) - mean) / std


def _rounded(batch: Tensor, factor: float) -> Size:
    height, width = (round(side * factor) for side in batch.shape[-2:])
    return height, width


_RESIZES = {
    'factor': _resize_factor,
    'floor': _resize_floor,
    'corners': _resize_corners,
    'cv2_cubic': _resize_cv2,
}
RESIZES = (*_RESIZES, 'pil_cubic')
