"""The figures of a benchmark as one tidy table, a figure a line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence

from ...utils.io import atomic_write
from ...utils.text import read_text
from .collect import CellResult

FIELDS = ('row', 'pipeline', 'seed', 'digest', 'stage', 'metric', 'value')
_DECIMALS = {
    'seconds': 1,
    'seconds_per_step': 4,
    'seconds_per_image': 4,
    'peak_memory_mb': 0,
    'trained_parameters': 0,
}
Key = tuple[str, int, str]


def write_results(path: str | os.PathLike, cells: Sequence[CellResult]) -> None:
    """Write ``results.csv``: scores first, then failures, then times and other costs.

    Columns are ``row, pipeline, seed, digest, stage, metric, value``. Lines are sorted and
    numbers have fixed decimals: the same scores give the same lines. ``mIoU`` and ``IoU/<class>``
    are in percent. A failed cell has the line ``failed`` with the reason as its value.

    Args:
        path: The file.
        cells: What was run.
    """
    lines = sorted(line for cell in cells for line in _lines(cell))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(FIELDS)
    writer.writerows(line[1:] for line in lines)
    with atomic_write(path) as tmp:
        tmp.write_text(text.getvalue(), encoding='utf-8')


def _lines(cell: CellResult) -> Iterator[tuple]:
    """Lines of a cell, behind a number that sorts scores before the rest."""

    def line(order: int, stage: str, metric: str, value: str) -> tuple:
        head = (cell.row.name, cell.row.pipeline.stem, cell.seed, cell.digest)
        return (order, *head, stage, metric, value)

    for stage in cell.stages.values():
        for metric, value in stage.scores.items():
            yield line(0, stage.name, metric, f'{value:.4f}')
        for metric, value in dict(stage.costs, seconds=stage.seconds).items():
            yield line(2, stage.name, metric, f'{value:.{_DECIMALS[metric]}f}')
    if cell.failed:
        yield line(1, '', 'failed', cell.failed)
    if cell.peak_memory_mb is not None:
        yield line(2, '', 'peak_memory_mb', f'{cell.peak_memory_mb:.0f}')


def scores_of(path: str | os.PathLike) -> dict[Key, dict[str, float]]:
    """Scores in a ``results.csv``.

    Args:
        path: The file.

    Returns:
        ``{(row, seed, stage): {metric: value}}``, metrics being ``mIoU`` and ``IoU/<class>`` in
        percent.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Its columns are others, a line has too many or too few, or a score is no number;
            names the line.
    """
    reader = csv.reader(io.StringIO(read_text(path, 'Results')))
    if tuple(next(reader, ())) != FIELDS:
        raise ValueError(f'{path}: the columns must be {",".join(FIELDS)}')
    found: dict[Key, dict[str, float]] = {}
    for cells in reader:
        try:
            row, _, seed, _, stage, metric, value = cells
            if metric == 'mIoU' or metric.startswith('IoU/'):
                found.setdefault((row, int(seed), stage), {})[metric] = float(value)
        except ValueError as error:
            raise ValueError(f'{path}, line {reader.line_num}: {error}') from None
    return found
