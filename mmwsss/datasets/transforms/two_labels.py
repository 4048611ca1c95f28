"""Labels of AffinityNet from two label maps (TransCAM, AVC), in place of PSA's scores."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from mmwsss.ops.pseudo_label import confident_label
from mmwsss.registry import TRANSFORMS
from mmwsss.stores.cam_store import check_labels, read_store
from mmwsss.utils.arguments import COUNT, checked

from .affinity import check_store_labels, store_path


@TRANSFORMS.register_module()
class LoadTwoLabels(BaseTransform):
    """Read two label maps of the image, made under a high and a low background score.

    Added keys: ``crf_low``, ``crf_high``, uint8 ``(H, W)``. If the sample has ``image_labels``,
    they have to be the same classes.

    Required key: ``score_path`` (``score_dir`` of the data set), a file with ``labels`` int16
    ``(K,)``, 0-based foreground indices, and ``low`` and ``high`` uint8 ``(H, W)``
    (:class:`mmwsss.stages.TwoLabelsFromCAMs`).
    """

    def transform(self, results: dict) -> dict:
        path = store_path('score_path', results)
        arrays = read_store(path, ('labels', 'low', 'high'))
        labels = check_labels(path, arrays['labels'], results.get('num_foreground'))
        check_store_labels(path, labels, results)
        known = [0, *(labels + 1), 255]
        for name in ('low', 'high'):
            found, size = arrays[name], results['img'].shape[:2]
            if found.shape != size or found.dtype != np.uint8:
                raise ValueError(
                    f'{path}: {name} is {found.dtype} {found.shape}, expected a label map uint8 '
                    f'{size} (height and width of {results["img_path"]}); scores are read by '
                    'LoadCRFScores'
                )
            strange = np.setdiff1d(found, known)
            if len(strange):
                raise ValueError(
                    f'{path}: {name} holds the labels {strange.tolist()[:5]}, which are not among '
                    f'{[int(label) for label in known]} (its classes, counted from 1)'
                )
            results[f'crf_{name}'] = found
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
@checked(stride=COUNT)
class FuseTwoLabels(BaseTransform):
    """Confident labels on the grid of the features (IRN's rule, TransCAM's reduction).

    Every ``stride``-th pixel of both maps, from the first on, as OpenCV's nearest neighbour takes
    them; then :func:`mmwsss.ops.pseudo_label.confident_label`: the class where ``crf_low`` has
    one, background where neither has one, else 255.

    Required keys: ``crf_low``, ``crf_high``; they are removed. Added key: ``gt_affinity_label``, a
    ``PixelData`` with ``data`` int64 ``(1, H / stride, W / stride)``.

    Args:
        stride: Stride of the features.
    """

    def __init__(self, stride: int = 8) -> None:
        self.stride = stride

    def transform(self, results: dict) -> dict:
        low, high = (results.pop(key) for key in ('crf_low', 'crf_high'))
        if low.ndim != 2 or low.shape != high.shape:
            raise ValueError(
                f'FuseTwoLabels needs label maps of one size, got {low.shape} and {high.shape}: '
                'read them by LoadTwoLabels; scores are fused by FuseLowHighAlpha'
            )
        low, high = (
            torch.from_numpy(label[:: self.stride, :: self.stride].astype(np.int64))
            for label in (low, high)
        )
        results['gt_affinity_label'] = PixelData(data=confident_label(low, high)[None])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(stride={self.stride})'
