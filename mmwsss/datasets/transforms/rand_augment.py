"""RandAugment and random erasing, by timm."""

from functools import cache

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image
from timm.data.auto_augment import posterize, rand_augment_transform
from timm.data.random_erasing import RandomErasing

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import NUMBER, POSITIVE, SHARE, TEXT, checked, number, several


@cache
def _augment(config: str, fill: tuple[int, ...], shift: int):
    settings = dict(translate_const=shift, img_mean=fill, interpolation=Image.BICUBIC)
    augment = rand_augment_transform(config, settings)
    for op in augment.ops:
        if op.aug_fn is posterize:
            op.aug_fn = _posterize
    return augment


def _posterize(image: Image.Image, bits: int, **kwargs) -> Image.Image:
    """timm's, where the strongest keeps no bit; newer Pillows refuse that, older gave black."""
    return posterize(image, bits, **kwargs) if bits > 0 else Image.new(image.mode, image.size)


@TRANSFORMS.register_module()
@checked(config=TEXT, fill=several(number(0, 255, integer=True), 3))
class RandAugment(BaseTransform):
    """timm's RandAugment (Cubuk et al., arXiv 1909.13719) on a uint8 BGR image.

    Two operations an image, each with probability 0.5. Some move the image: it is for classifiers,
    masks would not follow. Shifts are up to 0.45 of the shorter side, what comes into view has
    the colour ``fill``.

    Modified key: ``img``.

    Args:
        config: In timm's language; magnitude 9 with deviation 0.5 and operations that all grow
            with it, as DeiT and MCTformer have it.
        fill: RGB.

    Raises:
        ValueError: ``config`` does not begin with ``rand``.
    """

    def __init__(
        self,
        config: str = 'rand-m9-mstd0.5-inc1',
        fill: tuple[int, int, int] = (124, 116, 104),
    ) -> None:
        if not config.startswith('rand'):
            raise ValueError(f"config must be like 'rand-m9-mstd0.5-inc1', got {config!r}")
        self.config, self.fill = config, tuple(fill)

    def transform(self, results: dict) -> dict:
        image = results['img']
        if image.dtype != np.uint8 or results.get('gt_seg_map') is not None:
            raise ValueError('RandAugment is for uint8 images without masks: use other transforms')
        shift = int(min(image.shape[:2]) * 0.45)
        augment = _augment(self.config, self.fill, shift)
        changed = np.asarray(augment(Image.fromarray(image[..., ::-1])))
        results['img'] = np.ascontiguousarray(changed[..., ::-1])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(config={self.config!r}, fill={self.fill})'


@TRANSFORMS.register_module()
@checked(prob=SHARE, mean=several(NUMBER, 3), std=several(POSITIVE, 3))
class RandomErasingNoise(BaseTransform):
    """Put noise into a random rectangle (Zhong et al., arXiv 1708.04896; timm's ``pixel`` mode).

    Noise of every pixel and channel that is N(0, 1) behind the normalisation: the image becomes
    float32 with values outside of 0..255. The last transform before packing.

    Modified key: ``img``.

    Args:
        prob: Probability.
        mean, std: The normalisation, BGR as the images are loaded.

    Raises:
        ValueError: ``prob`` is not in [0, 1].
    """

    def __init__(
        self,
        prob: float = 0.25,
        mean: tuple[float, float, float] = (103.53, 116.28, 123.675),
        std: tuple[float, float, float] = (57.375, 57.12, 58.395),
    ) -> None:
        self.prob, self.mean, self.std = prob, np.float32(mean), np.float32(std)
        self.erase = RandomErasing(prob, mode='pixel', device='cpu')

    def transform(self, results: dict) -> dict:
        image = results['img'].astype(np.float32)
        kept = torch.full((3, *image.shape[:2]), torch.nan)
        noise = self.erase(kept).permute(1, 2, 0).numpy()
        results['img'] = np.where(np.isnan(noise), image, noise * self.std + self.mean)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
