"""PMM's training on crops, with the labels of what they show."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmwsss.ops.multi_crop import crop_labels, summed_areas, tile_boxes
from mmwsss.registry import TRANSFORMS
from mmwsss.stores.score_store import load_rough_scores
from mmwsss.utils.arguments import COUNT, POSITIVE, SHARE, checked, several
from mmwsss.utils.checks import check_range

from .affinity import check_store_labels, store_path


@TRANSFORMS.register_module()
class LoadRoughScores(BaseTransform):
    """Read what a first classifier and the dense CRF make of the image.

    Added keys: ``rough_scores`` ``(K, H, W)`` of the foreground classes ``rough_labels`` int64
    ``(K,)``. If the sample has ``image_labels``, they have to be the same classes.

    Required key: ``score_path`` (``score_dir`` of the data set), a file of
    :class:`mmwsss.stages.ScoresFromCAMs`.
    """

    def transform(self, results: dict) -> dict:
        path = store_path('score_path', results)
        size, classes = results['img'].shape[:2], results.get('num_foreground')
        labels, scores = load_rough_scores(path, size, classes)
        check_store_labels(path, labels, results)
        results['rough_labels'], results['rough_scores'] = labels, scores[1:]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
@checked(
    scales=several(POSITIVE),
    crop=COUNT,
    stride=COUNT,
    confidence=SHARE,
    share=SHARE,
)
class RandomMultiCrop(BaseTransform):
    """Cut out one of the boxes that the multi-crop test sees, and label it by what it shows.

    A scale is drawn, and boxes of it (:func:`mmwsss.ops.multi_crop.tile_boxes`) until one shows a
    class (:func:`mmwsss.ops.multi_crop.crop_labels`), at most as many as there are; if none does,
    the last one is taken, and its label is empty. The crop keeps its size: resize it to ``crop``
    behind other augmentation, whatever its aspect, as published.

    Required keys: ``gt_image_labels``, ``rough_scores``, ``rough_labels``
    (:class:`LoadRoughScores`), of which the last two are removed. Modified keys: ``img``,
    ``img_shape``, ``gt_image_labels``. Added key: ``crop_box``, (y0, y1, x0, x1).

    Args:
        scales: Factors on the size of the image.
        crop, stride: Pixels on the scaled image.
        confidence: A pixel shows a class if its score is above it.
        share: Of the confident pixels of a class, or of the box, that must lie in it.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        scales: Sequence[float] = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0),
        crop: int = 448,
        stride: int = 300,
        confidence: float = 0.9,
        share: float = 0.1,
    ) -> None:
        check_range('stride', stride, 1, crop, integer=True)  # no gaps
        self.scales, self.crop, self.stride = tuple(scales), crop, stride
        self.confidence, self.share = confidence, share

    @cache_randomness
    def _random_scale(self) -> float:
        return self.scales[np.random.randint(len(self.scales))]

    @cache_randomness
    def _random_tries(self, number: int) -> np.ndarray:
        """Boxes in the order in which they are tried; one may come several times."""
        return np.random.randint(number, size=number)

    def transform(self, results: dict) -> dict:
        scale = self._random_scale()
        (boxes,) = tile_boxes(results['img'].shape[:2], (scale,), self.crop, self.stride)
        boxes = boxes[self._random_tries(len(boxes))]
        scores = torch.from_numpy(results.pop('rough_scores'))
        shown = crop_labels(summed_areas(scores > self.confidence), boxes, self.share)
        found = shown.any(dim=1).nonzero()
        place = int(found[0]) if len(found) else len(boxes) - 1
        labels = np.zeros_like(results['gt_image_labels'])
        labels[results.pop('rough_labels')[shown[place].numpy()]] = 1
        y0, y1, x0, x1 = results['crop_box'] = boxes[place].tolist()
        results['gt_image_labels'] = labels * (results['gt_image_labels'] > 0)
        results['img'] = np.ascontiguousarray(results['img'][y0:y1, x0:x1])
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scales={self.scales}, crop={self.crop}, stride={self.stride}, '
            f'confidence={self.confidence}, share={self.share})'
        )
