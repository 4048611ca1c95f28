"""The figures of a benchmark as one tidy table, a figure a line."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence

from ...utils.checks import check_range
from ...utils.io import write_text
from ...utils.text import read_text
from .collect import CellResult, StageResult
from .rows import Benchmark

FIELDS = ('row', 'pipeline', 'seed', 'digest', 'stage', 'metric', 'value')
_DECIMALS = {
    'seconds': 1,
    'seconds_per_step': 4,
    'seconds_per_image': 4,
    'peak_memory_mb': 0,
    'trained_parameters': 0,
    'best_on_truth': 0,
}
Key = tuple[str, int, str]
Line = tuple[str, str, int, str, str, str, str]


def write_results(
    path: str | os.PathLike,
    cells: Sequence[CellResult],
    others: Sequence[str | os.PathLike] = (),
) -> None:
    """Write ``results.csv``: scores first, then failures, then times and other costs.

    Columns are ``row, pipeline, seed, digest, stage, metric, value``. Lines are sorted and
    numbers have fixed decimals: the same scores give the same lines. ``mIoU`` and ``IoU/<class>``
    are in percent. A failed cell has the line ``failed`` with the reason as its value.

    Args:
        path: The file.
        cells: What was run.
        others: Files of other machines; each cell is taken from the first that has it, this one
            only if it is finished here.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: One is no such file; names it and the line.
    """
    found: dict[tuple[str, int], list[Line]] = {}
    unfinished = [cell for cell in cells if cell.missing or cell.failed]
    for cell in (cell for cell in cells if cell not in unfinished):
        found[cell.row.name, cell.seed] = list(_lines(cell))
    for other in others:
        theirs: dict[tuple[str, int], list[Line]] = {}
        for line in read_results(other):
            theirs.setdefault((line[0], line[2]), []).append(line)
        found = {**theirs, **found}
    for cell in unfinished:
        found.setdefault((cell.row.name, cell.seed), list(_lines(cell)))
    lines = [line for cell in found.values() for line in cell]
    lines.sort(key=lambda line: (_order(line[5]), line))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(FIELDS)
    writer.writerows(lines)
    write_text(path, text.getvalue())


def with_others(
    benchmark: Benchmark, cells: Sequence[CellResult], others: Sequence[str | os.PathLike]
) -> list[CellResult]:
    """The cells that are here, and those that are only finished on other machines.

    The latter have neither logs nor pictures.

    Args:
        benchmark: Whose rows they are; rows that it does not have are left out.
        cells: What was run here.
        others: See :func:`write_results`.

    Raises:
        FileNotFoundError, ValueError: See :func:`read_results`.
    """
    found = {(cell.row.name, cell.seed): cell for cell in cells if not cell.missing}
    for other in others:
        theirs: dict[tuple[str, int], list[Line]] = {}
        for line in read_results(other):
            if line[0] in benchmark.rows:
                theirs.setdefault((line[0], line[2]), []).append(line)
        found = {**{key: _elsewhere(benchmark, lines) for key, lines in theirs.items()}, **found}
    unfinished = {(cell.row.name, cell.seed): cell for cell in cells if cell.missing}
    return [cell for _, cell in sorted({**unfinished, **found}.items())]


def _elsewhere(benchmark: Benchmark, lines: Sequence[Line]) -> CellResult:
    """A cell of which there are only its lines."""
    name, stem, seed, digest, *_ = lines[0]
    row = benchmark.rows[name]
    if stem != row.pipeline.stem:
        raise ValueError(
            f'the row {name}, seed {seed}, of another machine is of the pipeline {stem}, here of '
            f'{row.pipeline.stem}: it is another benchmark'
        )
    pipeline = benchmark.pipeline(row.pipeline, seed, row.until)
    root = benchmark.root(row.pipeline, seed)
    cell = CellResult(row, seed, pipeline, root, digest, stages={}, missing=[])
    for *_, stage, metric, value in lines:
        if metric == 'failed':
            cell.failed = value
        elif metric == 'peak_memory_mb':
            cell.peak_memory_mb = float(value)
        else:
            _take(cell.stages.setdefault(stage, StageResult(stage, 0.0)), metric, float(value))
    return cell


def _take(stage: StageResult, metric: str, value: float) -> None:
    if _is_score(metric):
        stage.scores[metric] = value
    elif metric == 'seconds':
        stage.seconds = value
    elif metric == 'best_on_truth':
        stage.best_on_truth = True
    else:
        stage.costs[metric] = value


def _lines(cell: CellResult) -> Iterator[Line]:
    head = (cell.row.name, cell.row.pipeline.stem, cell.seed, cell.digest)
    for stage in cell.stages.values():
        for metric, value in stage.scores.items():
            yield (*head, stage.name, metric, f'{value:.4f}')
        facts = dict(stage.costs, seconds=stage.seconds)
        facts |= dict(best_on_truth=1) if stage.best_on_truth else {}
        for metric, value in facts.items():
            yield (*head, stage.name, metric, f'{value:.{_DECIMALS[metric]}f}')
    if cell.failed:
        yield (*head, '', 'failed', cell.failed)
    if cell.peak_memory_mb is not None:
        yield (*head, '', 'peak_memory_mb', f'{cell.peak_memory_mb:.0f}')


def _is_score(metric: str) -> bool:
    return metric == 'mIoU' or metric.startswith('IoU/')


def _order(metric: str) -> int:
    return 0 if _is_score(metric) else 1 if metric == 'failed' else 2


def read_results(path: str | os.PathLike) -> Iterator[Line]:
    """Lines of a ``results.csv``, each with a number where one has to be.

    Args:
        path: The file.

    Yields:
        Values of :data:`FIELDS`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no such file; names the line.
    """
    reader = csv.reader(io.StringIO(read_text(path, 'Results'), newline=None))
    if tuple(next(reader, ())) != FIELDS:
        raise ValueError(f'{path}: the columns must be {",".join(FIELDS)}')
    seen: set[tuple[str, int, str, str]] = set()
    for cells in reader:
        try:
            row, pipeline, seed, digest, stage, metric, value = cells
            if metric != 'failed':
                number = float(value)
                if metric == 'mIoU' or (metric.startswith('IoU/') and not math.isnan(number)):
                    check_range(metric, number, 0, 100)
            key = row, int(seed), stage, metric
            if key in seen:
                raise ValueError(f'a second {metric} of {row}, seed {seed}, stage {stage}')
            seen.add(key)
            yield row, pipeline, int(seed), digest, stage, metric, value
        except ValueError as error:
            raise ValueError(f'{path}, line {reader.line_num}: {error}') from None


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
    found: dict[Key, dict[str, float]] = {}
    for row, _, seed, _, stage, metric, value in read_results(path):
        if _is_score(metric):
            found.setdefault((row, seed, stage), {})[metric] = float(value)
    return found
