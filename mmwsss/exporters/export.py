"""Folders of pseudo masks for annotation tools."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.converters.coco_shapes import load_pycocotools
from ..datasets.converters.common import check_class_names, scan_files, warn_left_out
from ..utils.checks import check_apart, check_choice, check_output_folder, check_range, some
from ..utils.images import find_images, picture_size
from ..utils.io import IGNORE, check_some_class, read_mask, write_text
from ..utils.parallel import map_parallel
from ..utils.provenance import RECORD, claim, digest_json, drop_leftovers
from . import coco, cvat, label_studio, yolo
from .formats import SHAPES, ExportOptions, Format, Picture
from .regions import classes_of

FORMATS: dict[str, Format] = {
    'coco': Format(
        coco.describe,
        coco.join,
        'instances_default.json',
        options=('prefix', 'shape', 'tolerance'),
    ),
    'yolo': Format(
        yolo.describe,
        None,
        '.txt',
        folder='labels',
        beside={'data.yaml': yolo.settings},
        options=('tolerance',),
    ),
    'label-studio': Format(
        label_studio.describe,
        label_studio.join,
        'label_studio_tasks.json',
        beside={'label_config.xml': label_studio.interface},
        prefix='/data/local-files/?d=',
    ),
    'cvat': Format(cvat.describe, cvat.join, 'cvat_annotations.xml'),
}


@dataclass
class Exported:
    """What was written.

    Attributes:
        paths: Files, or the folder of many.
        images: Number of images.
        with_class: Number of images by class name.
        unknown: Number of pixels of value 255, which no format can hold.
        pixels: Number of all pixels.
        with_unknown: Number of images that have some.
    """

    paths: list[Path]
    images: int = 0
    with_class: Counter = field(default_factory=Counter)
    unknown: int = 0
    pixels: int = 0
    with_unknown: int = 0

    def describe(self) -> str:
        """A few lines of text."""
        lines = [f'{self.images} images: {", ".join(map(str, self.paths))}']
        lines += [f'  {name}: {count} images' for name, count in self.with_class.most_common()]
        if self.unknown:
            share = 100 * self.unknown / self.pixels
            lines.append(
                f'left out: {self.unknown} unknown pixels (255; {share:.2f} %) of '
                f'{self.with_unknown} images, which are background in what was written'
            )
        return '\n'.join(lines)


def export_masks(
    folder: str | os.PathLike,
    to: str,
    classes: Sequence[str],
    out: str | os.PathLike,
    images: str | os.PathLike | None = None,
    image_suffix: str | None = None,
    options: ExportOptions | None = None,
    processes: int = 1,
    restart: bool = False,
) -> Exported:
    """Write the masks of a folder in the format of an annotation tool.

    A run that was interrupted goes on where it stopped if the format has a file for each image;
    others are written in one go, whole or not at all.

    Args:
        folder: Folder of ``<image id>.png``: 0 background, 1.. ``classes``, 255 unknown.
        to: One of :data:`FORMATS`.
        classes: Foreground class names, 1 to 254.
        out: Folder to write to.
        images: Folder of the images, which then must be there and have the sizes of the masks.
        image_suffix: Of the images' names, without ``images``; None: ``.jpg``.
        options: What the format may be told; None: its defaults.
        processes: Number of processes.
        restart: Throw away what ``out`` holds of other settings or files.

    Raises:
        FileNotFoundError: A folder or images are missing.
        ImportError: ``'coco'`` without pycocotools.
        OSError: ``out`` is not writable.
        ValueError: Unknown format, or an option that it does not have; no mask; a mask that cannot
            be read, holds other values than the classes, or has another size than its image; only
            255 and 0 in all of them; ``out`` is an input, or holds files of other settings.
    """
    check_format(to)
    check_range('processes', processes, 1, integer=True)
    check_range('number of foreground classes', len(classes), 1, 254)
    check_class_names(classes, 'The class list')
    form, options = FORMATS[to], options or ExportOptions()
    _check_options(to, form, options)
    if image_suffix is not None:
        _check_suffix(to, form, images, image_suffix)
    image_suffix = image_suffix or '.jpg'
    out = Path(out)
    check_apart({'the output': out}, {'the mask folder': folder, 'images': images})
    check_output_folder(out)
    scanned = scan_files(folder, '.png', 'Mask')
    ids = warn_left_out(scanned)
    check_some_class(scanned.found.values())
    pictures = find_images(images, ids) if images is not None else {}
    prefix = form.prefix if options.prefix is None else options.prefix
    settings = dict(
        made_by='export_masks',
        to=to,
        classes=list(classes),
        prefix=prefix,
        image_suffix=None if images is not None else image_suffix,
        shape=options.shape or SHAPES[0],
        tolerance=options.tolerance,
    )
    sources = {key: [scanned.found[key], *_maybe(pictures, key)] for key in ids}
    urls = {
        key: form.url(pictures[key].name if pictures else key + image_suffix, prefix) for key in ids
    }
    if not (out / form.folder / RECORD).is_file():
        _check_foreign([out / name for name in form.beside])
    tasks = _claim_tasks(form, out / form.folder, settings, sources, urls, restart)
    run = partial(_export_one, form=form, classes=list(classes), options=options)
    results = map_parallel(run, tasks, processes, chunk=16)
    return _finish(form, out, tasks, results, classes, options)


def _check_foreign(paths: Sequence[Path]) -> None:
    if there := [path for path in paths if path.exists()]:
        raise ValueError(f'{some(there)} would be overwritten: choose another output folder')


def _claim_tasks(
    form: Format,
    target: Path,
    settings: dict,
    sources: dict[str, list[Path]],
    urls: dict[str, str],
    restart: bool,
) -> list[_Task]:
    """What there is to do for each image, in a folder that belongs to these settings and files."""
    one = form.join is not None
    suffix, inputs = form.file, sources
    if one:  # of the empty id
        inputs = {'': [path for paths in sources.values() for path in paths]}
        settings = dict(settings, images=digest_json(urls))
    done = claim(target, suffix, settings, inputs, restart)
    drop_leftovers(target, suffix, inputs, restart)
    return [
        _Task(
            key,
            mask,
            picture[0] if picture else None,
            urls[key],
            None if one else target / f'{key}{suffix}',
            not done if one else key not in done,
        )
        for key, (mask, *picture) in sources.items()
    ]


def _finish(
    form: Format,
    out: Path,
    tasks: list[_Task],
    results: list,
    classes: Sequence[str],
    options: ExportOptions,
) -> Exported:
    """Write what is for all images together, and sum up."""
    one, target = form.join is not None, out / form.folder
    if one and any(task.wanted for task in tasks):  # all or none
        write_text(target / form.file, form.join((text for text, _ in results), classes, options))
    for name, make in form.beside.items():
        write_text(out / name, make(classes))
    return _summarise([target / form.file if one else target], classes, results)


@dataclass(frozen=True)
class _Task:
    image_id: str
    path: Path
    picture: Path | None
    url: str
    target: Path | None
    wanted: bool


def _export_one(
    task: _Task, form: Format, classes: Sequence[str], options: ExportOptions
) -> tuple[Any, tuple[list[int], int, int]]:
    """What a format makes of a mask; classes, unknown and all pixels."""
    mask = read_mask(task.path, 1 + len(classes))
    if task.picture is not None and (size := picture_size(task.picture)) != mask.shape:
        raise ValueError(
            f'{task.path} is a mask of {mask.shape[1]}x{mask.shape[0]} pixels, its image '
            f'{task.picture} has {size[1]}x{size[0]} (width x height)'
        )
    described = None
    if task.wanted:
        described = form.describe(Picture(task.image_id, task.url, mask), classes, options)
    if task.target is not None and described is not None:
        write_text(task.target, described)
        described = None
    return described, (classes_of(mask), int((mask == IGNORE).sum()), mask.size)


def check_format(to: str) -> None:
    """Raise ValueError if there is no such format, ImportError if what writes it is missing."""
    check_choice('format', to, FORMATS)
    if to == 'coco':
        load_pycocotools()


def _check_suffix(to: str, form: Format, images: str | os.PathLike | None, suffix: str) -> None:
    if images is not None:
        raise ValueError('image_suffix is for masks alone: images say their suffixes, leave it out')
    if not suffix.startswith('.'):
        raise ValueError(f'image_suffix must begin with a dot, as in .jpg, got {suffix!r}')
    if 'prefix' not in form.options:
        raise ValueError(f'{to} does not name the images: leave image_suffix out')


def _check_options(to: str, form: Format, options: ExportOptions) -> None:
    default = ExportOptions()
    for name in ('prefix', 'shape', 'tolerance'):
        if getattr(options, name) != getattr(default, name) and name not in form.options:
            raise ValueError(f'{to} has no option {name}: remove it')
    if options.tolerance and 'shape' in form.options and options.shape != 'polygon':
        raise ValueError("tolerance simplifies polygons: say shape='polygon', too")


def _maybe(pictures: dict[str, Path], key: str) -> list[Path]:
    return [pictures[key]] if pictures else []


def _summarise(paths: list[Path], classes: Sequence[str], results: list) -> Exported:
    found = Exported(paths, len(results))
    for _, (values, unknown, pixels) in results:
        found.with_class.update(classes[value - 1] for value in values)
        found.unknown += unknown
        found.pixels += pixels
        found.with_unknown += unknown > 0
    return found
