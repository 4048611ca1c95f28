"""Dense CRF on a folder of maps or masks, by several processes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image
from torch import Tensor

from mmwsss.datasets.cam_store import StoredCAM, load_cam
from mmwsss.ops.cam import upsample
from mmwsss.ops.crf_image import crf_image
from mmwsss.ops.dense_crf import DenseCRF, refine_labels, unary_from_scores
from mmwsss.ops.pseudo_label import add_background
from mmwsss.utils.io import atomic_write, read_mask, write_mask

SETTINGS = 'crf_settings.json'
_DEEPLAB_MEAN = (122.675, 116.669, 104.008)  # RGB
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.JPG', '.JPEG', '.PNG')


class FolderCRF(Protocol):
    """What is done with one image: reads ``source`` and writes ``target``."""

    source_suffix: ClassVar[str]
    target_suffix: ClassVar[str]

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None: ...


@dataclass(frozen=True)
class MasksFromCAMs:
    """Pseudo mask: argmax of the posterior of [background, maps of the image's classes].

    Attributes:
        power: Background score ``(1 - max cam) ** power``, unless ``background`` is given.
        background: Constant background score.
        confidence: Pixels whose best posterior is below it become 255 (0.95 in CLIP-ES).
        image: ``'true'``, or ``'wrapped'`` as in CLIP-ES: :func:`mmwsss.ops.crf_image.crf_image`.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        palette: Colours of the masks; None: grey.
    """

    power: float = 1.0
    background: float | None = None
    confidence: float | None = None
    image: str = 'true'
    crf: dict = field(default_factory=dict)
    palette: Sequence[Sequence[int]] | None = None

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.png'

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cam = _read_cam(source, image)
        write_mask(target, self.mask(image, stored.labels, cam), self.palette)

    def mask(self, image: np.ndarray, labels: np.ndarray, cam: Tensor) -> np.ndarray:
        """Label map of one image.

        Args:
            image: uint8 RGB ``(H, W, 3)``.
            labels: ``(K,)``, 0-based foreground indices.
            cam: ``(K, H, W)`` float on the CPU.

        Returns:
            uint8 ``(H, W)``: 0 background, class index + 1, or 255.
        """
        scores = add_background(cam[None], self.power)[0]
        if self.background is not None:
            scores[0] = self.background
        pixels = torch.from_numpy(image)
        if self.image != 'true':
            mean = torch.tensor(_DEEPLAB_MEAN)
            centred = pixels.permute(2, 0, 1) - mean.view(3, 1, 1)
            pixels = crf_image(centred, mean, torch.ones(3), self.image)
        crf = DenseCRF(pixels, **self.crf)
        best, place = crf(unary_from_scores(scores)).max(dim=0)
        keys = np.concatenate([[0], labels + 1]).astype(np.uint8)
        mask = keys[place.numpy()]
        if self.confidence is not None:
            mask[best.numpy() < self.confidence] = 255
        return mask


@dataclass(frozen=True)
class LowHighFromCAMs:
    """Scores of AffinityNet's labels: posteriors under a low and a high background exponent.

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` and ``low``, ``high`` float16
    ``(1 + K, H, W)``, background first (PSA, arXiv 1803.10464).

    Attributes:
        low, high: Exponents of ``(1 - max cam)``.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
    """

    low: float = 4.0
    high: float = 32.0
    crf: dict = field(default_factory=dict)

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.npz'

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cam = _read_cam(source, image)
        crf = DenseCRF(torch.from_numpy(image), **self.crf)
        low, high = (
            crf(unary_from_scores(add_background(cam[None], power)[0])).half().numpy()
            for power in (self.low, self.high)
        )
        with atomic_write(target) as tmp, open(tmp, 'wb') as file:
            np.savez_compressed(file, labels=np.int16(stored.labels), low=low, high=high)


@dataclass(frozen=True)
class MasksFromMasks:
    """Refine label maps, whose labels are taken as certain to ``gt_prob`` (IRN).

    Pixels of 255 are unknown and get a label.

    Attributes:
        gt_prob: Certainty in (0, 1).
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        palette: Colours of the masks; None: grey.
    """

    gt_prob: float = 0.7
    crf: dict = field(default_factory=dict)
    palette: Sequence[Sequence[int]] | None = None

    source_suffix: ClassVar[str] = '.png'
    target_suffix: ClassVar[str] = '.png'

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        labels = torch.from_numpy(read_mask(source))
        refined = refine_labels(torch.from_numpy(image), labels, self.gt_prob, **self.crf)
        write_mask(target, refined.numpy(), self.palette)


def crf_folder(
    work: FolderCRF,
    source_dir: str | os.PathLike,
    image_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    ids: Sequence[str] | None = None,
    processes: int | None = None,
) -> int:
    """Do ``work`` for every image of a folder; images that are done are skipped.

    The folder remembers the settings, so that a run cannot be continued with others.

    Args:
        work: :class:`MasksFromCAMs`, :class:`LowHighFromCAMs` or :class:`MasksFromMasks`.
        source_dir: Maps or masks, ``<image id><suffix>``.
        image_dir: Images ``<image id>.jpg`` (or another usual suffix).
        out_dir: Where results are written, each whole or not at all.
        ids: Image ids; None: all of ``source_dir``.
        processes: Number of processes; None: one per CPU.

    Returns:
        How many images were done now.

    Raises:
        FileNotFoundError: Sources or images missing; counts and names them, before any work.
        ValueError: ``out_dir`` holds results of other settings.
        RuntimeError: Some images failed, after all others were done; names them.
    """
    source_dir, image_dir, out_dir = Path(source_dir), Path(image_dir), Path(out_dir)
    sources = {p.stem: p for p in sorted(source_dir.glob(f'*{work.source_suffix}'))}
    ids = sorted(sources) if ids is None else list(ids)
    _check_present('file', work.source_suffix, source_dir, [i for i in ids if i not in sources])
    images = {p.stem: p for s in _IMAGE_SUFFIXES for p in image_dir.glob(f'*{s}')}
    _check_present('image', '', image_dir, [i for i in ids if i not in images])
    if not ids:
        raise FileNotFoundError(f'{source_dir} holds no *{work.source_suffix} file')
    _remember(work, out_dir)
    done = {p.stem for p in out_dir.glob(f'*{work.target_suffix}')}
    tasks = [
        (images[i], sources[i], out_dir / f'{i}{work.target_suffix}') for i in ids if i not in done
    ]
    processes = min(processes or os.cpu_count() or 1, len(tasks))
    if processes > 1:
        failures = track_parallel_progress(
            partial(_one, work), tasks, processes, initializer=_single_thread, keep_order=False
        )
    else:
        failures = track_progress(partial(_one, work), tasks) if tasks else []
    failures = [f for f in failures if f]
    if failures:
        raise RuntimeError(
            f'{len(failures)} of {len(tasks)} images failed, the others are in {out_dir}:\n'
            + '\n'.join(failures[:20])
        )
    return len(tasks)


def _one(work: FolderCRF, task: tuple[Path, Path, Path]) -> str:
    """Do one image; what went wrong, or nothing."""
    path, source, target = task
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert('RGB'))
        work(pixels, source, target)
    except Exception as error:
        return f'{path.stem} ({path}, {source}): {type(error).__name__}: {error}'
    return ''


def _single_thread() -> None:
    torch.set_num_threads(1)


def _read_cam(source: Path, image: np.ndarray) -> tuple[StoredCAM, Tensor]:
    stored = load_cam(source, size=image.shape[:2])
    cam = torch.from_numpy(stored.cam.astype(np.float32))
    return stored, upsample(cam, stored.size)


def _check_present(what: str, suffix: str, folder: Path, missing: list[str]) -> None:
    if missing:
        names = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
        raise FileNotFoundError(f'{folder} has no {what} {suffix} for {len(missing)} ids: {names}')


def _remember(work: FolderCRF, out_dir: Path) -> None:
    settings = {'kind': type(work).__name__, **asdict(work)}
    settings.pop('palette', None)
    text = json.dumps(settings, indent=2, sort_keys=True)
    path = out_dir / SETTINGS
    if path.is_file() and path.read_text() != text:
        raise ValueError(
            f'{out_dir} holds results of other settings ({path}). Use another folder, or remove it.'
        )
    with atomic_write(path) as tmp:
        tmp.write_text(text)
