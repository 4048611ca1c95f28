"""Augmentation of the classifiers that give activation maps (PSA, IRN, SEAM)."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image
from torchvision.transforms import ColorJitter as _TorchvisionJitter

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import COUNT, WEIGHT, checked, number, pair


def resize_long_pil(image: np.ndarray, long_side: int) -> np.ndarray:
    """Resize so that the longer side is ``long_side``, with Pillow's bicubic filter.

    Args:
        image: uint8 ``(H, W, 3)`` of any channel order.
        long_side: Pixels of the longer side; the other one is rounded, half to even.

    Returns:
        uint8 ``(h, w, 3)``.

    Raises:
        TypeError: ``image`` is not uint8 (Pillow would filter it differently).
    """
    if image.dtype != np.uint8:
        raise TypeError(f'resize_long_pil needs a uint8 image, got {image.dtype}')
    longest = max(image.shape[:2])
    height, width = (max(round(side * long_side / longest), 1) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.BICUBIC))


@TRANSFORMS.register_module()
@checked(long_range=pair(COUNT))
class RandomResizeLong(BaseTransform):
    """Resize the image so that its longer side has a random number of pixels.

    Modified keys: ``img``, ``img_shape``. Added keys: ``scale``, ``scale_factor`` (both width,
    height), ``keep_ratio``.

    Args:
        long_range: Smallest and largest length, both included, drawn uniformly.
    """

    def __init__(self, long_range: tuple[int, int] = (256, 512)) -> None:
        self.long_range = tuple(long_range)

    @cache_randomness
    def _random_long(self) -> int:
        return int(np.random.randint(self.long_range[0], self.long_range[1] + 1))

    def transform(self, results: dict) -> dict:
        image = results['img']
        resized = resize_long_pil(image, self._random_long())
        height, width = resized.shape[:2]
        results['img'] = resized
        results['img_shape'] = (height, width)
        results['scale'] = (width, height)
        results['scale_factor'] = (width / image.shape[1], height / image.shape[0])
        results['keep_ratio'] = True
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(long_range={self.long_range})'


@TRANSFORMS.register_module()
@checked(brightness=WEIGHT, contrast=WEIGHT, saturation=WEIGHT, hue=number(0, 0.5))
class ColorJitter(BaseTransform):
    """torchvision's ``ColorJitter`` on a uint8 BGR image: the four changes in random order.

    Modified key: ``img``.

    Args:
        brightness, contrast, saturation: Largest deviation of the factor from 1.
        hue: Largest shift, in turns of the colour circle.
    """

    def __init__(
        self,
        brightness: float = 0.3,
        contrast: float = 0.3,
        saturation: float = 0.3,
        hue: float = 0.1,
    ) -> None:
        self.jitter = _TorchvisionJitter(brightness, contrast, saturation, hue)

    def transform(self, results: dict) -> dict:
        image = Image.fromarray(results['img'][..., ::-1])
        results['img'] = np.ascontiguousarray(np.array(self.jitter(image))[..., ::-1])
        return results

    def __repr__(self) -> str:
        return repr(self.jitter)
