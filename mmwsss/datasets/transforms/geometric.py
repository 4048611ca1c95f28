"""Random scale and random crop as single-stage WSSS methods use them.

Pure functions with all random draws as arguments, and the transforms that draw.
"""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import GREY, POSITIVE, SIZE, checked, pair, single_or_several

from .formatting import check_mask_size


def scale_pil(image: np.ndarray, ratio: float, resample: int = Image.BILINEAR) -> np.ndarray:
    """Resize by a factor with Pillow, which low-pass filters when it shrinks.

    Args:
        image: uint8 ``(H, W, 3)`` of any channel order, or ``(H, W)``.
        ratio: Factor > 0.
        resample: Pillow's filter; ``Image.NEAREST`` for label maps.

    Returns:
        uint8, size ``int(ratio * H), int(ratio * W)``, at least one pixel.

    Raises:
        TypeError: ``image`` is not uint8 (Pillow would filter it differently).
    """
    if image.dtype != np.uint8:
        raise TypeError(f'scale_pil needs a uint8 image, got {image.dtype}')
    height, width = (max(int(ratio * side), 1) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), resample))


def pad_crop(
    image: np.ndarray,
    crop_size: tuple[int, int],
    pad_offset_hw: tuple[int, int],
    start_hw: tuple[int, int],
    pad_val: float | Sequence[float],
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Place an image on a canvas and cut a crop out of it.

    The canvas, ``max(crop, image size)`` per side and filled with ``pad_val``, is never made:
    only the part of the image that falls into the crop is copied.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        crop_size: Height and width of the crop.
        pad_offset_hw: Upper left corner of the image on the canvas, in
            ``0..max(crop - side, 0)``.
        start_hw: Upper left corner of the crop on the canvas, in ``0..max(side - crop, 0)``.
        pad_val: Value outside the image, one or one per channel.

    Returns:
        The crop, ``crop_size`` with the dtype of the image, and the box
        ``(y0, y1, x0, x1)`` of the image inside the crop.
    """
    box = []
    source = []
    for side, crop, offset, start in zip(
        image.shape[:2], crop_size, pad_offset_hw, start_hw, strict=True
    ):
        low, high = max(offset - start, 0), min(crop, side + offset - start)
        box += [int(low), int(high)]
        source.append(slice(low + start - offset, high + start - offset))
    out = np.full((*crop_size, *image.shape[2:]), pad_val, dtype=image.dtype)
    out[box[0] : box[1], box[2] : box[3]] = image[source[0], source[1]]
    return out, tuple(box)


@TRANSFORMS.register_module()
@checked(scale_range=pair(POSITIVE))
class RandomScalePIL(BaseTransform):
    """Scale the image by a random factor with Pillow's bilinear filter on uint8.

    A ``gt_seg_map``, if there is one, is scaled with nearest neighbour.

    Modified keys: ``img``, ``img_shape``, ``gt_seg_map``. Added keys: ``scale``,
    ``scale_factor`` (both width, height), ``keep_ratio``.

    Args:
        scale_range: Smallest and largest factor, drawn uniformly.
    """

    def __init__(self, scale_range: tuple[float, float] = (0.5, 2.0)) -> None:
        self.scale_range = tuple(scale_range)

    @cache_randomness
    def _random_ratio(self) -> float:
        return float(np.random.uniform(*self.scale_range))

    def transform(self, results: dict) -> dict:
        image = results['img']
        check_mask_size(results, image.shape[:2])
        ratio = self._random_ratio()
        scaled = scale_pil(image, ratio)
        height, width = scaled.shape[:2]
        results['img'] = scaled
        results['img_shape'] = (height, width)
        results['scale'] = (width, height)
        results['scale_factor'] = (width / image.shape[1], height / image.shape[0])
        results['keep_ratio'] = True
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = scale_pil(results['gt_seg_map'], ratio, Image.NEAREST)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale_range={self.scale_range})'


@TRANSFORMS.register_module()
@checked(crop_size=SIZE, pad_val=single_or_several(GREY))
class RandomPadCrop(BaseTransform):
    """Place small images at random on a canvas of the crop size, then crop at random.

    The preprocessor of mmseg would pad below and to the right, after normalisation; here the
    padding has the raw pixel value ``pad_val`` on all sides. A ``gt_seg_map``, if there is one,
    is padded with 255.

    Modified keys: ``img``, ``img_shape``, ``gt_seg_map``. Added keys: ``pad_shape`` and
    ``img_box``, (y0, y1, x0, x1) of the image inside the crop; flip before, not after.

    Args:
        crop_size: Side of the square crop, or (height, width).
        pad_val: Pixel value of the canvas, one or one per channel of the loaded image. With the
            mean colour of the preprocessor the canvas is zero after normalisation; a value with
            a fraction turns the image into float32.
    """

    def __init__(
        self, crop_size: int | tuple[int, int], pad_val: float | Sequence[float] = 0
    ) -> None:
        size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        self.crop_size = size
        self.pad_val = pad_val

    @cache_randomness
    def _random_offsets(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        sides = tuple(zip((height, width), self.crop_size, strict=True))
        pad = tuple(int(np.random.randint(max(crop - side, 0) + 1)) for side, crop in sides)
        start = tuple(int(np.random.randint(max(side - crop, 0) + 1)) for side, crop in sides)
        return pad, start

    def transform(self, results: dict) -> dict:
        image = results['img']
        check_mask_size(results, image.shape[:2])
        pad, start = self._random_offsets(*image.shape[:2])
        if np.any(np.mod(self.pad_val, 1)):
            image = image.astype(np.float32)
        results['img'], results['img_box'] = pad_crop(
            image, self.crop_size, pad, start, self.pad_val
        )
        results['img_shape'] = results['pad_shape'] = self.crop_size
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'], _ = pad_crop(
                results['gt_seg_map'], self.crop_size, pad, start, pad_val=255
            )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop_size}, pad_val={self.pad_val})'
