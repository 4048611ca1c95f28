"""Judging a folder of masks or activation maps, whoever wrote it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_dist_info, is_distributed
from torch.utils.data import DataLoader, Dataset

from ..datasets.cam_store import load_cam
from ..datasets.converters.cams import read_official_cam
from ..evaluation import WSSSIoUMetric
from ..ops.cam import upsample
from ..utils.io import read_mask
from .launch import init_cpu_processes

# How the published evaluators treat empty classes and predictions of 255; docs/evaluation.md.
CONVENTIONS = {
    'default': dict(empty='nanmean', pred_ignore='miss'),
    'irn': dict(empty='nanmean', pred_ignore='background'),
    'seam': dict(empty='zero', pred_ignore='miss'),
    '1stage': dict(empty='zero', pred_ignore='miss'),
    'pmm': dict(empty='gt_present', pred_ignore='miss'),
    'deeplab': dict(empty='gt_present', pred_ignore='miss'),
    'afa': dict(empty='gt_present', pred_ignore='exclude'),
}
MASKS, STORE, OFFICIAL = '.png', '.npz', '.npy'


class PredictionFolder(Dataset):
    """The predictions of a folder and their truths, as data samples of the metric.

    Args:
        pred_dir: Folder of ``<image id>.png`` masks (paletted or grey), ``.npz`` files of a CAM
            store or official ``.npy`` dictionaries of maps.
        truth_dir: Folder of ``<image id>.png`` masks.
        ids: Image ids to judge.
        num_classes: Background included.
        field: See :func:`mmwsss.datasets.converters.cams.read_official_cam`.

    Raises:
        FileNotFoundError: Predictions or truths are missing (counted and named).
        ValueError: No id, or the folder holds predictions of several kinds.
    """

    def __init__(
        self,
        pred_dir: str | Path,
        truth_dir: str | Path,
        ids: Sequence[str],
        num_classes: int,
        field: str | None = None,
    ) -> None:
        if not ids:
            raise ValueError('the split is empty')
        self.pred_dir, self.truth_dir = Path(pred_dir), Path(truth_dir)
        self.ids = list(ids)
        self.num_classes = num_classes
        self.field = field
        self.suffix = self._find_suffix()
        self._check_complete(self.pred_dir, self.suffix, 'prediction')
        self._check_complete(self.truth_dir, '.png', 'truth')

    @property
    def holds_maps(self) -> bool:
        return self.suffix != MASKS

    def _find_suffix(self) -> str:
        if not self.pred_dir.is_dir():
            raise FileNotFoundError(f'the folder {self.pred_dir} does not exist')
        present = {path.suffix for path in self.pred_dir.iterdir()}
        kinds = [suffix for suffix in (MASKS, STORE, OFFICIAL) if suffix in present]
        if len(kinds) != 1:
            raise ValueError(
                f'{self.pred_dir} holds {", ".join(kinds) or "no .png, .npz or .npy"} files; '
                'expected one kind: masks (.png), a CAM store (.npz) or official maps (.npy)'
            )
        return kinds[0]

    def _check_complete(self, folder: Path, suffix: str, what: str) -> None:
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        missing = [key for key in self.ids if key + suffix not in present]
        if missing:
            raise FileNotFoundError(
                f'{folder} has no {what} ({suffix}) for {len(missing)} of {len(self.ids)} images '
                f'of the split: {", ".join(missing[:10])}{", ..." if len(missing) > 10 else ""}'
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        key = self.ids[index]
        truth = self._read_mask(self.truth_dir / f'{key}.png')
        path = self.pred_dir / f'{key}{self.suffix}'
        sample = dict(img_path=key, gt_sem_seg=dict(data=truth[None]))
        if self.holds_maps:
            sample['pred_cam'] = self._read_maps(path, tuple(truth.shape))
            return sample
        pred = self._read_mask(path)
        _check_size(path, tuple(pred.shape), tuple(truth.shape))
        sample['pred_sem_seg'] = dict(data=pred[None])
        return sample

    def _read_mask(self, path: Path) -> torch.Tensor:
        mask = read_mask(path)
        strange = np.unique(mask[(mask >= self.num_classes) & (mask != 255)])
        if len(strange):
            raise ValueError(
                f'{path} holds the values {strange[:10].tolist()}, which are none of the '
                f'{self.num_classes} classes 0..{self.num_classes - 1} nor 255 (ignored); check '
                '--classes, and whether the mask stores class indices'
            )
        return torch.from_numpy(mask)

    def _read_maps(self, path: Path, size: tuple[int, int]) -> dict:
        if self.suffix == STORE:
            stored = load_cam(path, self.num_classes - 1, size)
            labels, cam = stored.labels, stored.cam
        else:
            labels, cam = read_official_cam(path, self.num_classes - 1, self.field)
            quarter = tuple((side - 1) // 4 + 1 for side in size)
            if len(labels) and cam.shape[1:] != quarter:  # IRN's 'cam'
                _check_size(path, cam.shape[1:], size)
        cam = torch.from_numpy(cam)
        if tuple(cam.shape[1:]) != size:
            cam = upsample(cam.float(), size).clamp(0, 1)
        return dict(cam=cam, labels=torch.from_numpy(labels))


def eval_folder(
    predictions: PredictionFolder,
    classes: Sequence[str],
    backgrounds: Sequence[str | list[float]] = ('range:0:1:0.01',),
    convention: str = 'default',
    output_dir: str | Path | None = None,
    tags: dict | None = None,
    num_workers: int = 0,
) -> dict[str, float]:
    """Scores of a folder over its whole split, the same in one process and in several.

    Args:
        predictions: What to judge.
        classes: Class names, background first.
        backgrounds: For maps: one or more ``background_thresholds`` of
            :class:`mmwsss.WSSSIoUMetric`; several get a prefix each, the kind of the sweep.
        convention: Name in :data:`CONVENTIONS`.
        output_dir: Folder of the JSON report and the picture of the curve.
        tags: Facts for the report.
        num_workers: Processes that read files, for each judging process.

    Returns:
        The metrics.
    """
    tags = {**(tags or {}), 'convention': convention, **_truth_rule(predictions.truth_dir)}
    sweeps = backgrounds if predictions.holds_maps else [None]
    metrics = []
    for sweep in sweeps:
        kind = sweep.partition(':')[0] if isinstance(sweep, str) else 'list'
        metrics.append(
            WSSSIoUMetric(
                **CONVENTIONS[convention],
                background_thresholds=sweep,
                classwise=True,
                output_dir=None if output_dir is None else str(output_dir),
                tags=tags,
                prefix=kind if len(sweeps) > 1 else None,
            )
        )
        metrics[-1].dataset_meta = dict(classes=tuple(classes))
    rank, world_size = get_dist_info()
    mine = torch.utils.data.Subset(predictions, range(rank, len(predictions), world_size))
    for sample in DataLoader(mine, batch_size=None, num_workers=num_workers):
        for metric in metrics:
            metric.process(None, [sample])
    scores: dict[str, float] = {}
    for metric in metrics:
        scores |= metric.evaluate(len(predictions))
    return scores


def init_processes(launcher: str) -> None:
    """Join the processes of a launcher; counting runs on the CPU, so without binding devices."""
    if launcher != 'none' and not is_distributed():
        init_cpu_processes(launcher)


def _truth_rule(truth_dir: Path) -> dict:
    """The rule that COCO's converter noted beside the masks, if it made them."""
    path = truth_dir / 'meta.json'
    if not path.is_file():
        return {}
    meta = json.loads(path.read_text())
    return {'gt_rule': {name: meta.get(name) for name in ('overlap', 'crowd', 'annotation_sha1')}}


def _check_size(path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    if size != expected:
        raise ValueError(
            f'{path} is {size[0]} x {size[1]} (height x width), its truth {expected[0]} x '
            f'{expected[1]}: predictions are judged at the original size of the image'
        )
