"""How many pixels of a folder of masks each class has, and whether its ids are those expected."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prettytable import PrettyTable

from ..datasets.class_names import foreground_names
from ..datasets.converters.common import read_ids
from ..utils.checks import check_range, some
from ..utils.io import IGNORE, check_class_count, read_mask, strange_values_hint, write_text
from ..utils.parallel import map_parallel
from ..utils.provenance import digest_json, digest_stamps
from .folder import find_sources, tell_left_out
from .stage import Stage, check_folders, register_stage


def pixel_counts(
    folder: str | os.PathLike,
    num_classes: int,
    ids: Sequence[str] | None = None,
    processes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of every class, and masks that show it.

    Args:
        folder: Of ``<image id>.png``.
        num_classes: Background included.
        ids: Image ids; None: all of the folder.
        processes: None: one per CPU.

    Returns:
        Both int64 ``(num_classes + 1,)``; the last entry is 255, unsure pixels.

    Raises:
        FileNotFoundError: Masks are missing.
        ValueError: Some masks hold values that are no classes: how many, the first ones, and
            whether they look like raw COCO category ids.
    """
    check_class_count(num_classes, 'the mask table')
    paths = list(find_sources(folder, '.png', ids).values())
    if ids is None:
        tell_left_out(folder, '.png')
    counts = np.stack(map_parallel(_histogram, paths, processes, chunk=32))
    strange = counts[:, num_classes:IGNORE].any(axis=1)
    if strange.any():
        values = np.flatnonzero(counts[:, num_classes:IGNORE].any(axis=0)) + num_classes
        names = some([paths[i] for i in np.flatnonzero(strange)])
        raise ValueError(
            f'{int(strange.sum())} of {len(paths)} masks hold values that are none of the '
            f'{num_classes} classes 0..{num_classes - 1} nor 255: {values[:10].tolist()} in '
            f'{names}; {strange_values_hint(values, num_classes)}'
        )
    places = [*range(num_classes), IGNORE]
    return counts.sum(axis=0)[places], (counts > 0).sum(axis=0)[places]


def _histogram(path: Path) -> np.ndarray:
    return np.bincount(read_mask(path).ravel(), minlength=IGNORE + 1)


def pixel_table(names: Sequence[str], pixels: np.ndarray, masks: np.ndarray) -> PrettyTable:
    """A row for every class: pixels, their share in percent, masks that show it.

    Args:
        names: Of all classes, background first.
        pixels, masks: See :func:`pixel_counts`.
    """
    table = PrettyTable(['id', 'class', 'pixels', '%', 'masks'])
    rows = [*enumerate(names), (IGNORE, '(unsure)')]
    for (number, name), count, shown in zip(rows, pixels, masks, strict=True):
        share = f'{100 * count / pixels.sum():.3f}'
        table.add_row([number, name, int(count), share, int(shown)])
    return table


@register_stage('mask_table')
class MaskTableStage(Stage):
    """Count the pixels of every class in the folder ``masks``, before a network learns from it.

    Values that are none of ``classes`` are an error; classes without a pixel are named. ``ids`` is
    a split list, ``processes`` how many are used. The table lies in ``<name>.csv``.
    """

    needed = frozenset({'masks', 'classes'})
    optional = frozenset({'ids', 'processes'})

    def check(self) -> None:
        """The classes are known."""
        foreground_names(self.spec['classes'])
        check_range('processes', self.spec.get('processes'), 1, integer=True)

    def reads(self, made: Collection[str]) -> list[str]:
        masks, ids = self.spec['masks'], self._ids()
        check_folders({masks: 'masks'}, made)
        if os.path.realpath(masks) not in made:
            find_sources(masks, '.png', ids)
        return [masks]

    def _ids(self) -> list[str] | None:
        return read_ids(self.spec['ids']) if 'ids' in self.spec else None

    def files(self) -> dict[str, Any]:
        sources = find_sources(self.spec['masks'], '.png', self._ids())
        classes = digest_json(foreground_names(self.spec['classes']))
        return {'masks': digest_stamps(sources.values()), 'classes': classes}

    def run(self, digest: str) -> dict[str, Any]:
        names = ['background', *foreground_names(self.spec['classes'])]
        given = self.spec['masks'], len(names), self._ids(), self.spec.get('processes')
        pixels, masks = pixel_counts(*given)
        table = pixel_table(names, pixels, masks)
        print(f'\n{self.spec["masks"]}\n{table}', flush=True)
        absent = [name for name, count in zip(names, pixels, strict=False) if not count]
        if absent:
            print(f'{self.name}: no mask shows {some(absent, 10)}', flush=True)
        write_text(self.context.records / f'{self.name}.csv', table.get_csv_string())
        return {'absent_classes': len(absent), 'unsure_share': float(pixels[-1] / pixels.sum())}
