"""Files and images in, files out: a task for every image of a folder, by several processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from ..datasets.converters.common import scan_files, warn_left_out
from ..utils.checks import check_apart, check_range, check_unique, some, spelling_hint
from ..utils.images import find_images, list_images, read_rgb, scan_images
from ..utils.io import list_files
from ..utils.parallel import map_parallel
from ..utils.provenance import claim


class FolderTask(Protocol):
    """What is done with one image; a dataclass, whose fields are the settings.

    A new one is a class like those in :mod:`mmwsss.stages.crf`, registered in ``TASK_UTILS``; then
    ``dict(run='folder', task=dict(type='mmwsss.Name', ...), source=, images=, out=)`` is a stage.

    Attributes:
        source_suffix, target_suffix: Of the files that it reads and writes. Without a
            ``source_suffix`` the images themselves are the sources.
        beside: May be there: ``{folder: suffix}`` of what it reads besides, for every image.
        check_sources: May be there: called with all sources before any work, to raise ValueError if
            they cannot be right as a whole.
    """

    source_suffix: ClassVar[str]
    target_suffix: ClassVar[str]

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        """Read ``source``, look at the uint8 RGB ``(H, W, 3)`` image, write ``target`` whole."""


def run_folder(
    task: FolderTask,
    source_dir: str | os.PathLike,
    image_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    ids: Sequence[str] | None = None,
    processes: int | None = None,
    restart: bool = False,
) -> int:
    """Do ``task`` for every image of a folder; images that are done are skipped.

    The folder remembers the settings and the files it was made from, so that a run cannot be
    continued with others (:mod:`mmwsss.utils.provenance`).

    Args:
        task: What is done.
        source_dir: Folder of ``<image id><task.source_suffix>``.
        image_dir: Images ``<image id>.jpg`` (or another usual suffix).
        out_dir: Where results are written, each whole or not at all.
        ids: Image ids; None: all of ``source_dir``.
        processes: Number of processes; None: one per CPU.
        restart: Throw results of other settings or files away instead of refusing.

    Returns:
        How many images were done now.

    Raises:
        FileNotFoundError: Sources or images missing; counts and names them, before any work.
        ValueError: ``out_dir`` holds results of other settings or is one of the other folders,
            two images have one id, an id is given twice, or the task refuses the sources.
        RuntimeError: Some images failed, after all others were done; names them. A process was
            killed.
    """
    check_range('processes', processes, 1, integer=True)
    beside = files_beside(task)
    check_apart(
        {'out': out_dir},
        {
            'the source folder': source_dir,
            'the image folder': image_dir,
            **{f'{folder}, which the task reads': folder for folder in beside},
        },
    )
    if task.source_suffix and os.path.realpath(source_dir) == os.path.realpath(image_dir):
        raise ValueError(f'{source_dir} is given as the source folder and as the image folder')
    sources = find_sources(source_dir, task.source_suffix, ids)
    if ids is None:
        tell_left_out(source_dir, task.source_suffix)
    ids = list(sources)
    images = find_images(image_dir, ids)
    if check := getattr(task, 'check_sources', None):
        check([sources[key] for key in ids])
    settings = dict(
        kind=type(task).__name__,
        sources=os.path.realpath(source_dir),
        images=os.path.realpath(image_dir),
        **{name: value for name, value in asdict(task).items() if name != 'palette'},
    )
    further = [find_sources(folder, suffix, ids) for folder, suffix in beside.items()]
    inputs = {key: (images[key], sources[key], *(f[key] for f in further)) for key in ids}
    done = claim(out_dir, task.target_suffix, settings, inputs, restart)
    todo = [
        (images[key], sources[key], Path(out_dir) / f'{key}{task.target_suffix}')
        for key in ids
        if key not in done
    ]
    failures = [f for f in map_parallel(partial(_one, task), todo, processes) if f]
    if failures:
        raise RuntimeError(
            f'{len(failures)} of {len(todo)} images failed, the others are in {out_dir}:\n'
            + '\n'.join(failures[:20])
        )
    return len(todo)


def tell_left_out(folder: str | os.PathLike, suffix: str) -> None:
    """Log a warning of the files of a folder that :func:`find_sources` does not take."""
    if suffix:
        warn_left_out(scan_files(folder, suffix, 'Source'))
    else:
        list_images(folder)


def find_sources(
    folder: str | os.PathLike, suffix: str, ids: Sequence[str] | None = None
) -> dict[str, Path]:
    """Files ``<id><suffix>`` of given ids, or all of a folder; pictures without a suffix.

    Raises:
        FileNotFoundError: There is none, or some are missing (counted and named).
        ValueError: An id is given twice.
    """
    if not suffix:
        return scan_images(folder).found if ids is None else find_images(folder, ids)
    sources = list_files(folder, suffix)
    if not sources:
        if not os.path.isdir(folder):
            raise FileNotFoundError(f'the folder {folder} does not exist')
        raise FileNotFoundError(f'{folder} holds no {suffix} file: name the folder they lie in')
    if ids is None:
        return sources
    check_unique('image ids', ids)
    missing = [key for key in ids if key not in sources]
    if missing:
        hint = spelling_hint(missing, os.listdir(folder))
        raise FileNotFoundError(
            f'{folder} has no {suffix} file for {len(missing)} of {len(ids)} ids: {some(missing)}'
            f'{hint}'
        )
    return {key: sources[key] for key in ids}


def files_beside(task: FolderTask) -> dict[str, str]:
    """``{folder: suffix}`` of what a task reads besides source and image."""
    return getattr(task, 'beside', {})


def _one(task: FolderTask, files: tuple[Path, Path, Path]) -> str:
    """Do one image; what went wrong, or nothing."""
    path, source, target = files
    try:
        task(read_rgb(path), source, target)
    except Exception as error:
        return f'{path.stem} ({path}, {source}): {type(error).__name__}: {error}'
    return ''
