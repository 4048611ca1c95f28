"""Writes a panel per image while a model is tested."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import mmcv
import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from mmwsss.evaluation.writers import OutputGuard
from mmwsss.registry import HOOKS
from mmwsss.utils.arguments import COUNT, FLAG, TEXT, WHOLE, checked
from mmwsss.utils.images import read_rgb
from mmwsss.utils.io import atomic_write
from mmwsss.utils.provenance import check_unclaimed
from mmwsss.visualization import draw_panel


@HOOKS.register_module()
@checked(out_dir=TEXT, interval=COUNT, max_images=WHOLE, val=FLAG)
class PanelVisualizationHook(Hook):
    """Write ``<out_dir>/<image id>.png``: image, cams, pseudo mask, prediction and truth.

    Only the columns whose fields a data sample has are drawn: ``pred_cam``, ``pred_pseudo_mask``,
    ``pred_sem_seg``, ``gt_sem_seg``. Every process draws its own images.

    Args:
        out_dir: Folder of the pictures; None is ``panels`` in the work dir.
        interval: Draw every n-th image of the data set.
        max_images: Draw at most so many; None draws all.
        val: Draw in validation too; each validation replaces the pictures of the one before.
    """

    def __init__(
        self,
        out_dir: str | None = None,
        interval: int = 1,
        max_images: int | None = None,
        val: bool = False,
    ) -> None:
        self.out_dir = out_dir
        self.interval = interval
        self.max_images = max_images
        self.val = val
        self._seen = 0
        self._guard: OutputGuard | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        self._seen = 0

    def before_val_epoch(self, runner: Runner) -> None:
        self._seen = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        for sample in outputs:
            # A sampler deals the data set out to the processes like cards.
            index = self._seen * get_world_size() + get_rank()
            self._seen += 1
            turn, rest = divmod(index, self.interval)
            if rest == 0 and (self.max_images is None or turn < self.max_images):
                self._write(runner, sample)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        if self.val:
            self.after_test_iter(runner, batch_idx, data_batch, outputs)

    def _write(self, runner: Runner, sample: SegDataSample) -> None:
        folder = self.out_dir or osp.join(runner.work_dir, 'panels')
        if self._guard is None:
            check_unclaimed(folder)
            self._guard = OutputGuard(folder)
        image_id = self._guard.image_id(sample)
        panel = draw_sample(sample, runner.visualizer.dataset_meta)
        with atomic_write(osp.join(folder, f'{image_id}.png')) as tmp:
            mmcv.imwrite(panel[..., ::-1], str(tmp))


def draw_sample(sample: SegDataSample, dataset_meta: dict) -> np.ndarray:
    """The panel of a data sample, uint8 RGB; reads its image from ``img_path``."""
    cam = sample.pred_cam.cam.float().cpu().numpy() if 'pred_cam' in sample else None
    labels = sample.pred_cam.labels.tolist() if 'pred_cam' in sample else ()
    try:
        return draw_panel(
            read_rgb(sample.img_path),
            dataset_meta['classes'],
            dataset_meta['palette'],
            cam=cam,
            cam_labels=labels,
            pseudo_mask=_label_map(sample, 'pred_pseudo_mask'),
            prediction=_label_map(sample, 'pred_sem_seg'),
            truth=_label_map(sample, 'gt_sem_seg'),
        )
    except ValueError as error:
        raise ValueError(f'{sample.img_path}: {error}') from error


def _label_map(sample: SegDataSample, field: str) -> np.ndarray | None:
    return sample.get(field).data[0].cpu().numpy() if field in sample else None
