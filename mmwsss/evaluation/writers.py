"""Evaluators that write predictions to a folder: the products that one stage hands to the next."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from mmwsss.ops.resize import reduce_maps
from mmwsss.registry import METRICS
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.arguments import COUNT, FLAG, TEXT, checked, one_of
from mmwsss.utils.checks import check_apart
from mmwsss.utils.io import check_mask_values, write_mask
from mmwsss.utils.provenance import RECORD


class OutputGuard:
    """Notices that files ``<image id>.*`` would overwrite each other or what they are made from.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = folder
        self._sources: dict[str, str] = {}
        self._apart: set[str] = set()

    def image_id(self, sample: Mapping | BaseDataElement) -> str:
        """The image id of a data sample, under which its file is written.

        Raises:
            ValueError: Another image has the same id, or the folder is that of the image or of
                its true mask.
        """
        source = sample.get('img_path')
        image_id = Path(source).stem
        if self._sources.setdefault(image_id, source) != source:
            raise ValueError(
                f'{source} and {self._sources[image_id]} have the same image id {image_id}: '
                'one output folder holds one file per id, rename one of them'
            )
        self._check_apart('the images', source)
        self._check_apart('the true masks', sample.get('seg_map_path'))
        return image_id

    def _check_apart(self, what: str, path: str | None) -> None:
        folder = path and (osp.dirname(path) or '.')
        if folder and folder not in self._apart:
            check_apart({'the output folder': self.folder}, {f'the folder of {what}': folder})
            self._apart.add(folder)


class _FolderWriter(BaseMetric):
    """One file ``<image id><extension>`` per data sample, each written atomically.

    Every process writes its own images; an image that a sampler repeats is rewritten with the
    same content.

    A folder that a pipeline has taken down as its own (:mod:`mmwsss.utils.provenance`) loses that
    mark, since what is in it is then of another origin; the pipeline itself says ``claimed``.
    """

    extension: str

    def __init__(self, output_dir: str, prefix: str | None = None, claimed: bool = False) -> None:
        super().__init__(prefix=prefix)
        self.output_dir = output_dir
        os.makedirs(output_dir, exist_ok=True)
        if not claimed:
            Path(output_dir, RECORD).unlink(missing_ok=True)
        self._guard = OutputGuard(output_dir)

    def process(self, data_batch: dict | None, data_samples: Sequence[dict]) -> None:
        """Write one file per sample."""
        for sample in data_samples:
            image_id = self._guard.image_id(sample)
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
@checked(output_dir=TEXT, stride=COUNT, prefix=TEXT, claimed=FLAG)
class CAMStoreWriter(_FolderWriter):
    """Write ``pred_cam`` as a CAM store: the activation maps of a later stage.

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` 0-based foreground indices, ``cam``
    float16 ``(K, h, w)`` in [0, 1] and ``size`` int32 ``(H, W)`` of the image.

    Args:
        output_dir: Folder of the store.
        stride: Store averages over ``stride`` x ``stride`` pixels, which every reader upsamples;
            1 stores all. At the full size the maps of COCO's train images take about 90 GB.
        prefix: See :class:`mmengine.evaluator.BaseMetric`.
        claimed: The caller has taken down what the files are made from.

    Raises:
        ValueError: ``stride`` is below 1.
    """

    extension = '.npz'

    def __init__(
        self, output_dir: str, stride: int = 1, prefix: str | None = None, claimed: bool = False
    ) -> None:
        super().__init__(output_dir, prefix, claimed)
        self.stride = stride

    def write(self, path: str, sample: dict) -> None:
        source = sample['img_path']
        if 'pred_cam' not in sample:
            raise ValueError(f"{source} has no pred_cam: set model.test_cfg.predict='cam'")
        labels, cam = sample['pred_cam']['labels'], sample['pred_cam']['cam']
        cam = reduce_maps(cam, self.stride).cpu().numpy()
        save_cam(path, labels.cpu().numpy(), cam, sample['ori_shape'][:2])


@METRICS.register_module()
@checked(
    output_dir=TEXT, field=one_of('pred_sem_seg', 'pred_pseudo_mask'), prefix=TEXT, claimed=FLAG
)
class PseudoMaskWriter(_FolderWriter):
    """Write label maps as paletted PNG of the image's size: 0 background, 255 ignore.

    Any network of MMSegmentation retrains on the folder as its ``seg_map_path``.

    Args:
        output_dir: Folder of the masks.
        field: ``'pred_sem_seg'`` or ``'pred_pseudo_mask'``.
        prefix: See :class:`mmengine.evaluator.BaseMetric`.
        claimed: The caller has taken down what the files are made from.
    """

    extension = '.png'

    def __init__(
        self,
        output_dir: str,
        field: str = 'pred_sem_seg',
        prefix: str | None = None,
        claimed: bool = False,
    ) -> None:
        super().__init__(output_dir, prefix, claimed)
        self.field = field

    def write(self, path: str, sample: dict) -> None:
        source = sample['img_path']
        if self.field not in sample:
            raise ValueError(
                f'{source} has no {self.field}: pred_pseudo_mask needs '
                "model.test_cfg.with_cam=True or predict='cam'"
            )
        mask = sample[self.field]['data'].squeeze(0).cpu().numpy()
        if mask.shape != tuple(sample['ori_shape'][:2]):
            raise ValueError(
                f'{source}: the mask is {mask.shape}, the image {tuple(sample["ori_shape"][:2])}'
            )
        if mask.dtype.kind not in 'iub':
            raise ValueError(
                f'{source}: {self.field} holds {mask.dtype} numbers, not class indices'
            )
        check_mask_values(mask, len(self.dataset_meta['classes']), f'{source}: {self.field}')
        write_mask(path, mask.astype(np.uint8), self.dataset_meta.get('palette'))
