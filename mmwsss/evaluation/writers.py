"""Evaluators that write predictions to a folder: the products that one stage hands to the next."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmwsss.datasets.cam_store import save_cam
from mmwsss.registry import METRICS
from mmwsss.utils.io import write_mask


class _FolderWriter(BaseMetric):
    """One file ``<image id><extension>`` per data sample, each written atomically.

    Every process writes its own images; an image that a sampler repeats is rewritten with the
    same content.
    """

    extension: str

    def __init__(self, output_dir: str, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.output_dir = output_dir
        os.makedirs(output_dir, exist_ok=True)
        self._sources: dict[str, str] = {}

    def process(self, data_batch: dict | None, data_samples: Sequence[dict]) -> None:
        """Write one file per sample."""
        for sample in data_samples:
            source = sample['img_path']
            image_id = Path(source).stem
            if self._sources.setdefault(image_id, source) != source:
                raise ValueError(
                    f'{source} and {self._sources[image_id]} have the same image id {image_id}: '
                    'one output folder holds one file per id, rename one of them'
                )
            self.write(osp.join(self.output_dir, image_id + self.extension), sample)
            self.results.append(image_id)

    def write(self, path: str, sample: dict) -> None:
        """Write what a sample holds to ``path``."""
        raise NotImplementedError

    def compute_metrics(self, results: list[str]) -> dict:
        """Say how many files were written; there is no figure."""
        print_log(f'{len(set(results))} files are in {self.output_dir}', 'current')
        return {}


@METRICS.register_module()
class CAMStoreWriter(_FolderWriter):
    """Write ``pred_cam`` as a CAM store: the activation maps of a later stage.

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` 0-based foreground indices, ``cam``
    float16 ``(K, h, w)`` in [0, 1] and ``size`` int32 ``(H, W)`` of the image.

    Args:
        output_dir: Folder of the store.
        prefix: See :class:`mmengine.evaluator.BaseMetric`.
    """

    extension = '.npz'

    def write(self, path: str, sample: dict) -> None:
        source = sample['img_path']
        if 'pred_cam' not in sample:
            raise ValueError(f"{source} has no pred_cam: set model.test_cfg.mode='cam'")
        labels, cam = (sample['pred_cam'][name].cpu().numpy() for name in ('labels', 'cam'))
        save_cam(path, labels, cam, sample['ori_shape'][:2])


@METRICS.register_module()
class PseudoMaskWriter(_FolderWriter):
    """Write label maps as paletted PNG of the image's size: 0 background, 255 ignore.

    Any network of MMSegmentation retrains on the folder as its ``seg_map_path``.

    Args:
        output_dir: Folder of the masks.
        field: ``'pred_sem_seg'`` or ``'pred_pseudo_mask'``.
        prefix: See :class:`mmengine.evaluator.BaseMetric`.
    """

    extension = '.png'

    def __init__(
        self, output_dir: str, field: str = 'pred_sem_seg', prefix: str | None = None
    ) -> None:
        super().__init__(output_dir, prefix)
        self.field = field

    def write(self, path: str, sample: dict) -> None:
        source = sample['img_path']
        if self.field not in sample:
            raise ValueError(
                f'{source} has no {self.field}: pred_pseudo_mask needs '
                "model.test_cfg.with_cam=True or mode='cam'"
            )
        mask = sample[self.field]['data'].squeeze(0).cpu().numpy()
        if mask.shape != tuple(sample['ori_shape'][:2]):
            raise ValueError(
                f'{source}: the mask is {mask.shape}, the image {tuple(sample["ori_shape"][:2])}'
            )
        num_classes = len(self.dataset_meta['classes'])
        strange = np.unique(mask[(mask != 255) & ((mask < 0) | (mask >= num_classes))])
        if len(strange):
            raise ValueError(
                f'{source}: values {strange[:5].tolist()} are neither one of {num_classes} '
                'classes nor 255'
            )
        write_mask(path, mask.astype(np.uint8), self.dataset_meta.get('palette'))
