"""Colour jitter and random scale of the DeepLab retraining codes.

Pure functions with all random draws as arguments, and the transforms that draw.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import POSITIVE, checked, number, one_of, pair, several

from .formatting import check_mask_size

INTERPOLATIONS = {'bilinear': cv2.INTER_LINEAR, 'bicubic': cv2.INTER_CUBIC}
RULES = ('factor', 'size')


def jitter_hsv(image: np.ndarray, delta: Sequence[int]) -> np.ndarray:
    """Add whole numbers to OpenCV's 8-bit hue (modulo 180), saturation and value (clipped).

    Args:
        image: uint8 BGR ``(H, W, 3)``.
        delta: Added to hue, saturation and value.

    Returns:
        uint8 BGR ``(H, W, 3)``.

    Raises:
        TypeError: ``image`` is not uint8 (OpenCV has other ranges for other types).
    """
    if image.dtype != np.uint8:
        raise TypeError(f'jitter_hsv needs a uint8 image, got {image.dtype}')
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.int16) + np.asarray(delta, np.int16)
    hsv[..., 0] %= 180
    return cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)


def scale_image(
    image: np.ndarray, ratio: float, rule: str, interpolation: str = 'bilinear'
) -> np.ndarray:
    """Resize an image by a factor with OpenCV, which does not low-pass filter.

    Args:
        image: ``(H, W, 3)`` uint8 or float32.
        ratio: Factor > 0.
        rule: ``'factor'`` samples in steps of 1 / ratio and rounds the size; ``'size'`` resizes
            to ``int(ratio * H), int(ratio * W)``.
        interpolation: ``'bilinear'`` or ``'bicubic'``.
    """
    flag = INTERPOLATIONS[interpolation]
    if rule == 'factor':
        return cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=flag)
    return cv2.resize(image, _truncated_size(image, ratio), interpolation=flag)


def scale_label(label: np.ndarray, ratio: float, rule: str) -> np.ndarray:
    """Resize a label map ``(H, W)`` uint8 as :func:`scale_image` resizes its image.

    Nearest neighbour, of OpenCV for the rule ``'factor'`` and of Pillow for ``'size'``.
    """
    if rule == 'factor':
        return cv2.resize(label, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_NEAREST)
    size = _truncated_size(label, ratio)
    return np.array(Image.fromarray(label).resize(size, Image.NEAREST))


def _truncated_size(image: np.ndarray, ratio: float) -> tuple[int, int]:
    height, width = (max(int(side * ratio), 1) for side in image.shape[:2])
    return width, height


@TRANSFORMS.register_module()
@checked(delta=number(0, 255, integer=True))
class IntHSVJitter(BaseTransform):
    """Shift hue, saturation and value by random whole numbers (see :func:`jitter_hsv`).

    Modified key: ``img``, uint8 BGR.

    Args:
        delta: Largest shift of each, drawn uniformly from ``-delta..delta``.
    """

    def __init__(self, delta: int = 10) -> None:
        self.delta = delta

    @cache_randomness
    def _random_delta(self) -> np.ndarray:
        return np.random.randint(-self.delta, self.delta + 1, 3)

    def transform(self, results: dict) -> dict:
        results['img'] = jitter_hsv(results['img'], self._random_delta())
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(delta={self.delta})'


@TRANSFORMS.register_module()
@checked(
    scale_range=pair(POSITIVE),
    scales=several(POSITIVE),
    rule=one_of(*RULES),
    interpolation=one_of(*INTERPOLATIONS),
)
class RandomScaleCV2(BaseTransform):
    """Scale image and ``gt_seg_map`` by a random factor with OpenCV.

    Modified keys: ``img``, ``img_shape``, ``gt_seg_map``. Added keys: ``scale``,
    ``scale_factor`` (both width, height), ``keep_ratio``.

    Args:
        scale_range: Smallest and largest factor, drawn uniformly. Give this or ``scales``.
        scales: Factors, one of which is drawn.
        rule: See :func:`scale_image` and :func:`scale_label`.
        interpolation: ``'bilinear'`` or ``'bicubic'``.
    """

    def __init__(
        self,
        scale_range: tuple[float, float] | None = None,
        scales: Sequence[float] | None = None,
        rule: str = 'size',
        interpolation: str = 'bilinear',
    ) -> None:
        if (scale_range is None) == (scales is None):
            raise ValueError('give either scale_range or scales')
        self.scale_range = scale_range
        self.scales = scales
        self.rule = rule
        self.interpolation = interpolation

    @cache_randomness
    def _random_ratio(self) -> float:
        if self.scales is None:
            return float(np.random.uniform(*self.scale_range))
        return float(np.random.choice(self.scales))

    def transform(self, results: dict) -> dict:
        image = results['img']
        check_mask_size(results, image.shape[:2])
        ratio = self._random_ratio()
        results['img'] = scale_image(image, ratio, self.rule, self.interpolation)
        height, width = results['img'].shape[:2]
        results['img_shape'] = (height, width)
        results['scale'] = (width, height)
        results['scale_factor'] = (width / image.shape[1], height / image.shape[0])
        results['keep_ratio'] = True
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = scale_label(results['gt_seg_map'], ratio, self.rule)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scale_range={self.scale_range}, scales={self.scales}, '
            f'rule={self.rule!r}, interpolation={self.interpolation!r})'
        )
