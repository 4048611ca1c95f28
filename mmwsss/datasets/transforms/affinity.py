"""Inputs of AffinityNet (PSA): stored maps of the first stage, and their joint augmentation.

``crf_low`` and ``crf_high`` in the samples are the scores ``(H, W, 1 + K)`` of background and the K
classes of the image after the dense CRF, under a low and a high exponent of the background, or two
label maps ``(H, W)`` in their place (:mod:`mmwsss.datasets.transforms.two_labels`).
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.structures import BaseDataElement, PixelData

from mmwsss.ops.pixel_affinity import fuse_low_high
from mmwsss.ops.resize import upsample
from mmwsss.registry import TRANSFORMS
from mmwsss.stores.cam_store import load_cam
from mmwsss.stores.score_store import load_scores
from mmwsss.utils.arguments import COUNT, SHARE, SIZE, checked, one_of

from .formatting import PackWSSSInputs
from .geometric import RandomPadCrop, pad_crop

JOINT_KEYS = ('img', 'crf_low', 'crf_high')


def store_path(key: str, results: dict) -> str:
    """Path of the image's file in a store.

    Raises:
        ValueError: The data set says nothing of the store.
    """
    if key not in results:
        raise ValueError(
            f'{results.get("img_path")} has no {key}: give the data set (mmwsss.ImageLabelDataset) '
            f'{key.removesuffix("_path")}_dir, the folder of the store'
        )
    return results[key]


def check_store_labels(path: str, labels: np.ndarray, results: dict) -> None:
    """Raise ValueError unless a store's ``labels`` are those of the image, if these are known."""
    if 'image_labels' not in results:
        return
    given, labels = np.asarray(results['image_labels']).tolist(), labels.tolist()
    if labels != given:
        raise ValueError(
            f'{path} holds the classes {labels}, but the image labels are {given} '
            '(0-based foreground indices): it was made with another label file, make it again'
        )


@TRANSFORMS.register_module()
class LoadCAM(BaseTransform):
    """Read the activation maps of the image from a CAM store.

    Added key: ``seed_cam``, a ``BaseDataElement`` with ``cam`` float32 ``(K, h, w)`` and ``labels``
    int64 ``(K,)``. If the sample has ``image_labels``, they have to be the same classes.

    Required key: ``cam_path``, in a store that :class:`mmwsss.evaluation.writers.CAMStoreWriter`
    has filled (``cam_dir`` of the data set).
    """

    def transform(self, results: dict) -> dict:
        path = store_path('cam_path', results)
        stored = load_cam(path, results.get('num_foreground'), results['img'].shape[:2])
        check_store_labels(path, stored.labels, results)
        results['seed_cam'] = BaseDataElement(
            cam=torch.from_numpy(stored.cam.astype(np.float32)),
            labels=torch.from_numpy(stored.labels),
        )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadCRFScores(BaseTransform):
    """Read the dense-CRF scores of the image under a low and a high background exponent.

    Added keys: ``crf_low``, ``crf_high``. If the sample has ``image_labels``, they have to be the
    same classes.

    Required key: ``score_path`` (``score_dir`` of the data set), a file with ``labels`` int16
    ``(K,)``, 0-based foreground indices, and ``low`` and ``high`` float16 ``(1 + K, h, w)``,
    background first (:class:`mmwsss.stages.LowHighFromCAMs`), brought to the size of the image.
    """

    def transform(self, results: dict) -> dict:
        path = store_path('score_path', results)
        size = results['img'].shape[:2]
        labels, low, high = load_scores(path, size, results.get('num_foreground'))
        check_store_labels(path, labels, results)
        for name, scores in (('low', low), ('high', high)):
            if scores.shape[1:] != size:
                scores = upsample(torch.from_numpy(scores.astype(np.float32)), size).numpy()
            results[f'crf_{name}'] = scores.transpose(1, 2, 0)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
@checked(crop_size=SIZE, pad_label=one_of(0, 255))
class RandomPadCropScores(RandomPadCrop):
    """:class:`RandomPadCrop` of the image together with its scores or label maps.

    Outside of the image, it and the scores are 0.

    Modified keys: ``img``, ``img_shape``, ``crf_low``, ``crf_high``. Added key: ``pad_shape``.

    Args:
        crop_size: Side of the square crop, or (height, width).
        pad_label: Label outside of the image, if ``crf_low`` and ``crf_high`` are label maps: 255
            is left out of the losses; 0, background, is what TransCAM's code does.

    Raises:
        ValueError: A ``pad_label`` that is neither.
    """

    def __init__(self, crop_size: int | tuple[int, int], pad_label: int = 255) -> None:
        super().__init__(crop_size, pad_val=0)
        self.pad_label = pad_label

    def transform(self, results: dict) -> dict:
        offsets = self._random_offsets(*results['img'].shape[:2])
        for key in JOINT_KEYS:
            value = self.pad_label if results[key].ndim == 2 else self.pad_val
            results[key], _ = pad_crop(results[key], self.crop_size, *offsets, value)
        results['img_shape'] = results['pad_shape'] = self.crop_size
        return results


@TRANSFORMS.register_module()
@checked(prob=SHARE)
class RandomFlipScores(BaseTransform):
    """Mirror the image and its scores or label maps left to right.

    Modified keys: ``img``, ``crf_low``, ``crf_high``.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    @cache_randomness
    def _random_flip(self) -> bool:
        return np.random.random() < self.prob

    def transform(self, results: dict) -> dict:
        if self._random_flip():
            for key in JOINT_KEYS:
                results[key] = results[key][:, ::-1]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
@checked(pool=COUNT)
class FuseLowHighAlpha(BaseTransform):
    """Confident labels on the grid of the features; see
    :func:`mmwsss.ops.pixel_affinity.fuse_low_high`.

    Required keys: ``crf_low``, ``crf_high``; they are removed. Added key: ``gt_affinity_label``, a
    ``PixelData`` with ``data`` int64 ``(1, H / pool, W / pool)``.

    Args:
        pool: Stride of the features.
    """

    def __init__(self, pool: int = 8) -> None:
        self.pool = pool

    def transform(self, results: dict) -> dict:
        low, high = (
            torch.from_numpy(np.ascontiguousarray(results.pop(key).transpose(2, 0, 1)))
            for key in JOINT_KEYS[1:]
        )
        label = fuse_low_high(low, high, self.pool)
        results['gt_affinity_label'] = PixelData(data=label[None])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(pool={self.pool})'


@TRANSFORMS.register_module()
class PackAffinityInputs(PackWSSSInputs):
    """``PackWSSSInputs`` that also packs ``gt_affinity_label`` and ``seed_cam``."""

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        for key in ('gt_affinity_label', 'seed_cam'):
            if key in results:
                packed['data_samples'].set_field(results[key], key)
        return packed
