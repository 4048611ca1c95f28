"""Which masks to look at first: a folder of them, sorted by doubt, as a sheet and a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image

from ..datasets.inputs import base_datasets, build_dataset, image_inputs
from ..ops.doubt import disagreement, label_doubt, mean_rank, narrowness, unsure_share
from ..ops.pseudo_label import add_background
from ..stages import Pipeline
from ..stages.folder import find_sources, tell_left_out
from ..stages.stage import ConfigStage, Stage
from ..stores.cam_store import load_cam, read_store
from ..stores.palettes import colour_table, voc_palette
from ..utils.checks import check_choice, check_output_file, check_range, some
from ..utils.images import find_images, picture_size, read_rgb
from ..utils.io import IGNORE, atomic_write, list_files, read_mask
from ..utils.parallel import map_parallel
from ..visualization.review_sheet import SheetRow, draw_sheet, thumbnails

TOP = 50
TITLE = 'Masks to look at first'
MEASURES = {
    'unsure': 'share of 255 among all pixels that are not background',
    'margin': 'one minus the mean margin between the two best maps, background included, where a '
    'class is best',
    'label': 'one minus the probability of the least probable label',
    'disagreement': 'share of the foreground on which the two folders of masks disagree',
}
_CHUNK = 16


@dataclass
class Review:
    """What :func:`review_masks` has found.

    Attributes:
        sheet, table: The files.
        doubts: Doubt in [0, 1] by image id, the worst first.
        failed: ``{image id: what is wrong}``, images that could not be looked at.
    """

    sheet: Path
    table: Path
    doubts: dict[str, float]
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Files:
    """Where everything about an image is."""

    key: str
    image: Path
    mask: Path
    cams: Path | None
    other: Path | None


@dataclass(frozen=True)
class _Look:
    """What was seen in the files of an image."""

    measures: Mapping[str, float]
    shares: Mapping[int, float]


def review_masks(
    masks: str | os.PathLike,
    images: str | os.PathLike | Mapping[str, Path],
    out: str | os.PathLike,
    cams: str | os.PathLike | None = None,
    other: str | os.PathLike | None = None,
    top: int = TOP,
    classes: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    processes: int | None = None,
    notes: Sequence[str] = (),
) -> Review:
    """Sort masks by doubt, and show the most doubtful ones.

    The doubt of an image is its mean place in the orders by the measures that apply
    (:data:`MEASURES`, :mod:`mmwsss.ops.doubt`): ``unsure`` always, ``margin`` with ``cams``,
    ``label`` if their labels were predicted and the store has their scores, ``disagreement``
    with ``other``. Files are read one after the other, and only the ``top`` have pictures, so that
    the number of images does not matter.

    Args:
        masks: Folder of ``<image id>.png``.
        images: Folder of the pictures, or ``{image id: path}``.
        out: The sheet, ``.html``; a ``.csv`` of all images is written beside it.
        cams: CAM store that the masks are made of.
        other: Masks of the same images by another method.
        top: How many have pictures.
        classes: Names of the mask values, background first; None: values are numbers.
        ids: Image ids; None: all of ``masks``.
        processes: Processes that read; None: one per CPU.
        notes: Lines for the head of the sheet.

    Raises:
        FileNotFoundError: No masks, or images, maps or other masks are missing for some.
        ValueError: ``out`` is no ``.html``, or a foreign file has the name of the table; a number
            out of its range.
        OSError: The files cannot be written.
        RuntimeError: Not one image could be looked at.
    """
    out = Path(out)
    check_choice('suffix of the review sheet', out.suffix.lower(), ('.html', '.htm'))
    check_range('top', top, 0, integer=True)
    for path in (out, out.with_suffix('.csv')):
        check_output_file(path)
    _check_table(out.with_suffix('.csv'))
    _check_sheet(out)
    files = _find(masks, images, cams, other, ids)
    work = partial(_look, num_classes=classes and len(classes))
    looks = map_parallel(work, files, processes, _CHUNK)
    print()
    failed = {f.key: look for f, look in zip(files, looks, strict=True) if isinstance(look, str)}
    seen = [(f, look) for f, look in zip(files, looks, strict=True) if f.key not in failed]
    if not seen:
        raise RuntimeError(
            f'not one of {len(files)} masks can be reviewed: {some(failed.values())}'
        )
    columns = [name for name in MEASURES if any(name in look.measures for _, look in seen)]
    names, colours = _Names(classes), _colours(seen[0][0].mask)
    rows = _sorted_rows(seen, columns, names, out)
    paths = {f.key: f for f, _ in seen}
    for row in rows[:top]:
        row.pictures, row.problem = _pictures(paths[row.name], colours)
    _write_table(out.with_suffix('.csv'), columns, rows, failed)
    values = sorted({value for _, look in seen for value in look.shares})
    page = draw_sheet(
        f'{TITLE}: {Path(masks)}',
        columns,
        rows,
        ['image', 'mask', *(['other mask'] if other else [])],
        [(names[value], colours[value]) for value in values],
        [*_explain(columns, len(rows), top), *notes],
        [f'{key}: {message}' for key, message in failed.items()],
    )
    with atomic_write(out) as tmp, open(tmp, 'w', encoding='utf-8') as file:
        file.writelines(page)
    return Review(out, out.with_suffix('.csv'), {r.name: r.doubt for r in rows}, failed)


def _sorted_rows(
    seen: Sequence[tuple[_Files, _Look]], columns: Sequence[str], names: _Names, out: Path
) -> list[SheetRow]:
    """Without pictures, the worst first."""
    measures = [[look.measures.get(name) for name in columns] for _, look in seen]
    doubts = mean_rank(np.array(measures, np.float64).T)
    return [
        SheetRow(
            seen[i][0].key,
            float(doubts[i]),
            measures[i],
            names.describe(seen[i][1].shares),
            _address(seen[i][0].mask, out),
        )
        for i in np.argsort(-doubts, kind='stable')
    ]


def review_pipeline(
    pipeline: Pipeline, top: int = TOP, processes: int | None = None
) -> Review | None:
    """Review the masks that the last stage with masks has left, as ``review.html`` of the records.

    Maps and other masks of the same images that earlier stages have left are taken along.

    Args:
        pipeline: All of whose stages are finished.
        top, processes: See :func:`review_masks`.

    Returns:
        None if no stage makes masks, or if the sheet is newer than they are.

    Raises:
        FileNotFoundError, ValueError, OSError, RuntimeError: See :func:`review_masks`.
    """
    made = [
        (stage, f, suffix) for stage in pipeline.stages for f, suffix in stage.outputs().items()
    ]
    found = [(stage, folder) for stage, folder, suffix in made if suffix == '.png']
    if not found:
        return None
    stage, masks = found[-1]
    out = pipeline.records / 'review.html'
    record = pipeline.records / f'{stage.name}.json'
    if out.is_file() and out.stat().st_mtime_ns >= record.stat().st_mtime_ns:
        return None
    images = _images_of(stage, masks)
    before = made[: made.index((stage, masks, '.png'))]
    folders = {
        kind: [f for _, f, suffix in before if suffix == kind and _has(f, kind, images)]
        for kind in ('.npz', '.png')
    }
    cams = [folder for folder in folders['.npz'] if _is_cam_store(folder)]
    return review_masks(
        masks,
        images,
        out,
        cams[-1] if cams else None,
        folders['.png'][-1] if folders['.png'] else None,
        top,
        _classes_of(pipeline),
        list(images),
        processes,
    )


def _images_of(stage: Stage, masks: str) -> dict[str, Path]:
    """Pictures of the masks that a stage has left."""
    if isinstance(stage, ConfigStage):
        dataset = build_dataset(stage.loaded.test_dataloader.dataset)
        return {key: Path(files[0]) for key, files in image_inputs(dataset).items()}
    return find_images(stage.spec['images'], find_sources(masks, '.png'))


def _classes_of(pipeline: Pipeline) -> Sequence[str] | None:
    for stage in pipeline.stages:
        if isinstance(stage, ConfigStage):
            for dataset in map(build_dataset, stage.datasets().values()):
                for base in base_datasets(dataset):
                    if base.metainfo.get('classes'):
                        return base.metainfo['classes']
    return None


def _has(folder: str, suffix: str, keys: Iterable[str]) -> bool:
    return set(keys) <= set(list_files(folder, suffix))


def _is_cam_store(folder: str) -> bool:
    """Not one of scores, say; what else may be wrong is told of every image."""
    first = next(iter(list_files(folder, '.npz').values()))
    try:
        read_store(first, ('labels', 'cam', 'size'))
    except ValueError:
        return False
    return True


class _Names:
    """Names of mask values."""

    def __init__(self, classes: Sequence[str] | None) -> None:
        self.classes = classes

    def __getitem__(self, value: int) -> str:
        if value == IGNORE:
            return 'unsure (255)'
        if self.classes is None:
            return f'class {value}' if value else 'background'
        return self.classes[value]

    def describe(self, shares: Mapping[int, float]) -> str:
        """Foreground and unsure pixels, the largest first."""
        found = sorted((value for value in shares if value), key=lambda value: -shares[value])
        parts = (f'{self[value]} {100 * shares[value]:.1f} %' for value in found)
        return ', '.join(parts) or 'background only'


def _find(
    masks: str | os.PathLike,
    images: str | os.PathLike | Mapping[str, Path],
    cams: str | os.PathLike | None,
    other: str | os.PathLike | None,
    ids: Sequence[str] | None,
) -> list[_Files]:
    found = find_sources(masks, '.png', ids)
    if ids is None:
        tell_left_out(masks, '.png')
    keys = list(found)
    pictures = images if isinstance(images, Mapping) else find_images(images, keys)
    if missing := [key for key in keys if key not in pictures]:
        raise FileNotFoundError(
            f'{len(missing)} of {len(keys)} masks in {masks} have no image: {some(missing)}'
        )
    maps = find_sources(cams, '.npz', keys) if cams else {}
    others = find_sources(other, '.png', keys) if other else {}
    return [
        _Files(key, Path(pictures[key]), path, maps.get(key), others.get(key))
        for key, path in found.items()
    ]


def _look(files: _Files, num_classes: int | None) -> _Look | str:
    """Measures of one image, or what is wrong with its files."""
    try:
        return _measure(files, num_classes)
    except (OSError, ValueError) as error:
        return str(error)


def _measure(files: _Files, num_classes: int | None) -> _Look:
    mask = _read_mask(files.mask, num_classes, picture_size(files.image))
    labels = torch.from_numpy(mask)
    found = dict(unsure=float(unsure_share(labels)))
    if files.cams is not None:
        stored = load_cam(files.cams, num_classes and num_classes - 1, mask.shape)
        maps = torch.from_numpy(stored.cam.astype(np.float32))
        found['margin'] = float(narrowness(add_background(maps[None])[0]))
        if stored.scores is not None:
            found['label'] = float(label_doubt(torch.from_numpy(stored.scores)))
    if files.other is not None:
        others = torch.from_numpy(_read_mask(files.other, num_classes, mask.shape))
        found['disagreement'] = float(disagreement(labels, others))
    values, counts = np.unique(mask, return_counts=True)
    return _Look(found, dict(zip(values.tolist(), (counts / mask.size).tolist(), strict=True)))


def _read_mask(path: Path, num_classes: int | None, size: tuple[int, int]) -> np.ndarray:
    mask = read_mask(path, num_classes)
    if mask.shape != tuple(size):
        raise ValueError(
            f'{path} is {mask.shape[0]} x {mask.shape[1]} (height x width), its image '
            f'{size[0]} x {size[1]}'
        )
    return mask


def _pictures(files: _Files, colours: np.ndarray) -> tuple[list[np.ndarray], str]:
    paths = [files.mask, *([files.other] if files.other else [])]
    try:
        return thumbnails(read_rgb(files.image), map(read_mask, paths), colours), ''
    except (OSError, ValueError) as error:
        return [], str(error)


def _colours(path: Path) -> np.ndarray:
    """Those of a paletted mask, which are what other programs show; else VOC's."""
    with Image.open(path) as image:
        own = image.getpalette() if image.mode == 'P' else None
    colours = np.array(voc_palette(256), np.uint8)
    if own:
        own = np.array(own, np.uint8).reshape(-1, 3)
        colours[: len(own)] = own
    return colour_table(colours[:IGNORE])


def _address(path: Path, sheet: Path) -> str:
    """Of a file, as the sheet links to it."""
    path = os.path.abspath(path)
    try:
        path = os.path.relpath(path, os.path.abspath(sheet.parent))
    except ValueError:  # another drive
        return Path(path).as_uri()
    return quote(os.fsencode(path.replace(os.sep, '/')))


def _explain(columns: Sequence[str], count: int, top: int) -> list[str]:
    shown = f'the {min(top, count)} most doubtful of {count} masks' if count > top else 'all masks'
    return [
        f'Here are {shown}. The doubt is the mean place in the orders by these measures, 1 is the '
        'worst in all:',
        *(f'{name}: {MEASURES[name]}' for name in columns),
    ]


def _check_table(path: Path) -> None:
    if path.is_file():
        with open(path, encoding='utf-8', errors='replace') as file:
            if not file.readline().startswith('image,doubt,'):
                raise ValueError(
                    f'{path}, where the table would be written, is there and is another table: '
                    'choose another name for the sheet'
                )


def _check_sheet(path: Path) -> None:
    if path.is_file():
        with open(path, encoding='utf-8', errors='replace') as file:
            if TITLE not in file.read(4000):
                raise ValueError(f'{path} is there and is no review sheet: choose another name')


def _write_table(
    path: Path, columns: Sequence[str], rows: Sequence[SheetRow], failed: Mapping[str, str]
) -> None:
    with atomic_write(path) as tmp, open(tmp, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['image', 'doubt', *columns, 'mask', 'problem'])
        for row in rows:
            values = ('' if value is None else f'{value:.6g}' for value in row.measures)
            name, problem = some([row.name]), some([row.problem])
            writer.writerow([name, f'{row.doubt:.6g}', *values, row.content, problem])
        for key, message in failed.items():
            blanks = [''] * (len(columns) + 2)
            writer.writerow([some([key]), *blanks, some([message])])
