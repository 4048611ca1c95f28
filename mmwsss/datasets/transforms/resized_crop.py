"""Random crop of random area and shape, resized: two torchvision rules, with Pillow's filter."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import POSITIVE, SIZE, checked, number, one_of, pair

from .formatting import check_mask_size

FALLBACKS = ('square', 'whole')
TRIALS = 10


def crop_box(
    height: int,
    width: int,
    draws: np.ndarray,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    fallback: str = 'square',
) -> tuple[int, int, int, int]:
    """The box that ``RandomResizedCrop`` cuts out.

    Each trial draws an area and a ratio of width to height; the first one that fits into the
    image counts, with a random position. The published rules differ in two points:

    ========== ============================================== ===================================
    fallback   ratio                                          if no trial fits
    ========== ============================================== ===================================
    ``square`` uniform; width and height swapped at random    central square of the shorter side
    ``whole``  uniform in its logarithm                       central part, of the nearest allowed
                                                              ratio: mostly the whole image
    ========== ============================================== ===================================

    ``'square'`` is torchvision 0.2.1 (the published numbers of 1-Stage), ``'whole'`` torchvision
    of today.

    Args:
        height, width: Of the image.
        draws: Uniform in [0, 1), ``(trials, 5)``: area, ratio, swap, top, left.
        scale: Smallest and largest area, as a share of the image.
        ratio: Smallest and largest width / height.
        fallback: One of the above.

    Returns:
        Top, left, height and width.

    Raises:
        ValueError: Unknown fallback.
    """
    if fallback not in FALLBACKS:
        raise ValueError(f'fallback={fallback!r} is not one of {FALLBACKS}')
    area, shape, swap, y, x = draws.T
    area = height * width * _between(area, *scale)
    if fallback == 'square':
        shape = _between(shape, *ratio)
    else:
        shape = np.exp(_between(shape, *np.log(ratio)))
    widths, heights = (np.rint(np.sqrt(v)).astype(int) for v in (area * shape, area / shape))
    if fallback == 'square':
        swapped = swap < 0.5
        widths, heights = np.where(swapped, (heights, widths), (widths, heights))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    if fits.any():
        i = int(fits.argmax())
        h, w = int(heights[i]), int(widths[i])
        return int(y[i] * (height - h + 1)), int(x[i] * (width - w + 1)), h, w
    if fallback == 'square':
        h = w = min(height, width)
    else:
        h = min(height, round(width / ratio[0]))
        w = min(width, round(height * ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def resized_crop(
    image: np.ndarray,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    resample: int = Image.BICUBIC,
) -> np.ndarray:
    """Cut a box out of an image and resize it with Pillow.

    Args:
        image: uint8 ``(H, W, 3)`` of any channel order, or ``(H, W)``.
        box: Top, left, height and width.
        size: Height and width of the result.
        resample: Pillow's filter; ``Image.NEAREST`` for label maps.

    Returns:
        uint8 ``(*size, ...)``.

    Raises:
        TypeError: ``image`` is not uint8 (Pillow would filter it differently).
    """
    if image.dtype != np.uint8:
        raise TypeError(f'resized_crop needs a uint8 image, got {image.dtype}')
    top, left, height, width = box
    # The crop is made first: pixels outside the box must not enter the filter.
    crop = np.ascontiguousarray(image[top : top + height, left : left + width])
    return np.array(Image.fromarray(crop).resize(size[::-1], resample))


@TRANSFORMS.register_module()
@checked(
    crop_size=SIZE,
    scale=pair(number(0, 1, open_low=True)),
    ratio=pair(POSITIVE),
    fallback=one_of(*FALLBACKS),
)
class RandomResizedCropPIL(BaseTransform):
    """Cut a random box out of the image and resize it, bicubic on uint8.

    The rules are those of :func:`crop_box`. On a 500 x 375 image and with the default ranges
    ``fallback='square'`` keeps 87 % of the area on average, ``'whole'`` 96 %.

    A ``gt_seg_map``, if there is one, is cut likewise and resized with nearest neighbour.

    Modified keys: ``img``, ``img_shape``, ``gt_seg_map``. Added keys: ``scale``,
    ``scale_factor`` (both width, height), ``keep_ratio``.

    Args:
        crop_size: Side of the square result, or (height, width).
        scale: Smallest and largest area, as a share of the image.
        ratio: Smallest and largest width / height.
        fallback: ``'square'`` or ``'whole'``.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        crop_size: int | tuple[int, int],
        scale: tuple[float, float] = (0.9, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        fallback: str = 'square',
    ) -> None:
        size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        self.crop_size = size
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.fallback = fallback

    @cache_randomness
    def _random_draws(self) -> np.ndarray:
        return np.random.random_sample((TRIALS, 5))

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        check_mask_size(results, (height, width))
        box = crop_box(height, width, self._random_draws(), self.scale, self.ratio, self.fallback)
        results['img'] = resized_crop(results['img'], box, self.crop_size)
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = resized_crop(
                results['gt_seg_map'], box, self.crop_size, Image.NEAREST
            )
        results['img_shape'] = self.crop_size
        results['scale'] = self.crop_size[::-1]
        results['scale_factor'] = (self.crop_size[1] / box[3], self.crop_size[0] / box[2])
        results['keep_ratio'] = False
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, scale={self.scale}, '
            f'ratio={self.ratio}, fallback={self.fallback!r})'
        )


def _between(draws: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * draws
