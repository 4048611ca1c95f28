"""Judging a folder of masks or activation maps, whoever wrote it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info, is_distributed
from torch.utils.data import DataLoader, Dataset

from ..datasets.converters.cams import read_official_cam
from ..datasets.converters.common import check_class_names
from ..evaluation import WSSSIoUMetric
from ..evaluation.metrics import parse_thresholds
from ..ops.resize import upsample
from ..stores.cam_store import load_cam
from ..utils.checks import (
    check_apart,
    check_choice,
    check_output_folder,
    check_range,
    check_unique,
    some,
    spelling_hint,
)
from ..utils.io import list_files, read_mask
from ..utils.text import read_json
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


def check_predictions(folder: str | os.PathLike, ids: Sequence[str]) -> str:
    """Look whether a folder has a prediction of every image; the suffix of its files.

    Raises:
        FileNotFoundError: No such folder, or some are missing (counted and named).
        ValueError: It holds predictions of several kinds, or none.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'the folder {folder} does not exist')
    kinds = [kind for kind in (MASKS, STORE, OFFICIAL) if list_files(folder, kind)]
    if len(kinds) != 1:
        raise ValueError(
            f'{folder} holds {", ".join(kinds) or "no .png, .npz or .npy"} files; expected one '
            'kind: masks (.png), a CAM store (.npz) or official maps (.npy)'
        )
    _check_complete(folder, kinds[0], 'prediction', ids)
    return kinds[0]


def check_truths(folder: str | os.PathLike, ids: Sequence[str]) -> None:
    """Raise FileNotFoundError, counting and naming them, if a folder lacks masks of images."""
    _check_complete(folder, MASKS, 'truth', ids)


def _check_complete(folder: str | os.PathLike, suffix: str, what: str, ids: Sequence[str]) -> None:
    present = {key for key, path in list_files(folder, suffix).items() if path.is_file()}
    missing = [key for key in ids if key not in present]
    if missing:
        raise FileNotFoundError(
            f'{folder} has no {what} ({suffix}) for {len(missing)} of {len(ids)} images of the '
            f'split: {some(missing, 10)}{spelling_hint(missing, _names(folder))}'
        )


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
        ValueError: No id, one twice, the folder holds predictions of several kinds, or it is that
            of the truth.
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
        check_unique('image ids', ids)
        self.pred_dir, self.truth_dir = Path(pred_dir), Path(truth_dir)
        if os.path.realpath(pred_dir) == os.path.realpath(truth_dir):
            raise ValueError(
                f'{pred_dir} is both the predictions and the truth: the result would be perfect'
            )
        self.ids = list(ids)
        self.num_classes = num_classes
        self.field = field
        self.suffix = check_predictions(pred_dir, ids)
        check_truths(truth_dir, ids)

    @property
    def holds_maps(self) -> bool:
        """Whether the predictions are activation maps, not masks."""
        return self.suffix != MASKS

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        key = self.ids[index]
        truth_path = self.truth_dir / f'{key}.png'
        truth = self._read_mask(truth_path)
        path = self.pred_dir / f'{key}{self.suffix}'
        sample = dict(img_path=key, seg_map_path=str(truth_path), gt_sem_seg=dict(data=truth[None]))
        if self.holds_maps:
            sample['pred_cam'] = self._read_maps(path, tuple(truth.shape))
            return sample
        pred = self._read_mask(path)
        _check_size(path, tuple(pred.shape), tuple(truth.shape))
        sample['pred_sem_seg'] = dict(data=pred[None])
        return sample

    def _read_mask(self, path: Path) -> torch.Tensor:
        return torch.from_numpy(read_mask(path, self.num_classes))

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
    guess: float | None = None,
) -> dict[str, float]:
    """Scores of a folder over its whole split, the same in one process and in several.

    Args:
        predictions: What to judge.
        classes: Class names, background first.
        backgrounds: For maps: one or more ``background_thresholds`` of
            :class:`mmwsss.WSSSIoUMetric`, of different kinds; several get a prefix each, the kind
            of the sweep.
        convention: Name in :data:`CONVENTIONS`.
        output_dir: Folder of the JSON report and the picture of the curve.
        tags: Facts for the report.
        num_workers: Processes that read files, for each judging process.
        guess: For maps: judge, in their place, what the image labels alone give, the first class of
            the image in a centred box that covers this share of it (1: everywhere).

    Returns:
        The metrics.

    Raises:
        ValueError: Unknown convention, class names that do not fit, a sweep, ``num_workers`` or
            ``guess`` out of range, a guess without maps, two sweeps of a kind, an output folder
            that is judged, or files that hold what they should not (named).
    """
    _check_judging(predictions, classes, backgrounds, convention, output_dir, num_workers, guess)
    tags = {**(tags or {}), 'convention': convention, **_truth_rule(predictions.truth_dir)}
    sweeps = backgrounds if predictions.holds_maps and guess is None else [None]
    metrics = [
        WSSSIoUMetric(
            **CONVENTIONS[convention],
            background_thresholds=sweep,
            classwise=True,
            output_dir=None if output_dir is None else str(output_dir),
            tags=tags,
            prefix=_kind(sweep) if len(sweeps) > 1 else None,
        )
        for sweep in sweeps
    ]
    for metric in metrics:
        metric.dataset_meta = dict(classes=tuple(classes))
    rank, world_size = get_dist_info()
    mine = torch.utils.data.Subset(predictions, range(rank, len(predictions), world_size))
    for sample in _loaded(DataLoader(mine, batch_size=None, num_workers=num_workers)):
        sample = sample if guess is None else _guessed(sample, guess)
        for metric in metrics:
            metric.process(None, [sample])
    scores: dict[str, float] = {}
    for metric in metrics:
        scores |= metric.evaluate(len(predictions))
    return scores


def _loaded(loader: DataLoader) -> Iterator[Any]:
    """Its samples; errors of workers say what was wrong, not where in the code."""
    try:
        yield from loader
    except (OSError, ValueError) as error:
        traceback, mark, reason = str(error).rpartition(f'\n{type(error).__name__}: ')
        if not (mark and traceback.startswith('Caught ')):
            raise
        raise type(error)(reason.strip()) from None


def _check_judging(
    predictions: PredictionFolder,
    classes: Sequence[str],
    backgrounds: Sequence[str | list[float]],
    convention: str,
    output_dir: str | Path | None,
    num_workers: int,
    guess: float | None,
) -> None:
    check_choice('convention', convention, CONVENTIONS)
    check_class_names(classes[1:], 'the class list')
    if len(classes) != predictions.num_classes:
        raise ValueError(
            f'{len(classes)} class names for predictions of {predictions.num_classes} classes, '
            'background included'
        )
    check_range('num_workers', num_workers, 0, integer=True)
    check_range('guess', guess, 0, 1, open_low=True)
    if guess is not None and not predictions.holds_maps:
        raise ValueError(f'{predictions.pred_dir} holds masks: a guess takes the labels of maps')
    check_apart(
        {'the output folder': output_dir},
        {'the predictions': predictions.pred_dir, 'the truth': predictions.truth_dir},
    )
    for sweep in backgrounds:
        parse_thresholds(sweep)
    check_unique('kinds of background thresholds', map(_kind, backgrounds))
    if output_dir is not None:
        check_output_folder(output_dir)


def _guessed(sample: dict, share: float) -> dict:
    """The sample with the mask that :func:`eval_folder` calls a guess."""
    labels, truth = sample['pred_cam']['labels'], sample['gt_sem_seg']['data']
    mask = torch.zeros_like(truth)
    if len(labels):
        top, left = (round(side * (1 - share**0.5) / 2) for side in truth.shape[1:])
        mask[:, top : truth.shape[1] - top, left : truth.shape[2] - left] = labels[0] + 1
    return {**sample, 'pred_sem_seg': dict(data=mask)}


def _kind(sweep: str | Sequence[float]) -> str:
    return sweep.partition(':')[0] if isinstance(sweep, str) and ':' in sweep else 'list'


def init_processes(launcher: str) -> None:
    """Join the processes of a launcher; counting runs on the CPU, so without binding devices."""
    if launcher != 'none' and not is_distributed():
        init_cpu_processes(launcher)


def _truth_rule(truth_dir: Path) -> dict:
    """The rule that COCO's converter noted beside the masks, if it made them."""
    path = truth_dir / 'meta.json'
    if not path.is_file():
        return {}
    meta = read_json(path)
    if not isinstance(meta, dict):
        return {}
    return {'gt_rule': {name: meta.get(name) for name in ('overlap', 'crowd', 'annotation_sha1')}}


def _names(folder: str | os.PathLike) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _check_size(path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    if size != expected:
        raise ValueError(
            f'{path} is {size[0]} x {size[1]} (height x width), its truth {expected[0]} x '
            f'{expected[1]}: predictions are judged at the original size of the image'
        )
