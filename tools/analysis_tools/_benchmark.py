"""What the benchmark measured, stage by stage of its pipelines, and what it shows."""

import csv
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmwsss.utils.checks import check_choice

FIELDS = ('row', 'pipeline', 'seed', 'digest', 'stage', 'metric', 'value')
COLUMNS = ('seed', 'mask', 'val', 'val_crf')  # stages of these names, if a row says no others
STAR = '\\*'


class Figure(NamedTuple):
    """What a cell of a table shows: ``text``, and the mean in per cent if there is one."""

    text: str
    mean: float | None

    @classmethod
    def typed(cls, value: str) -> 'Figure':
        """A figure of a metafile that no result stands behind."""
        return cls(f'{value}{STAR}', None if value == 'failed' else float(value.split()[0]))


class Results:
    """The results of a benchmark; nothing if the file is not there yet.

    Args:
        path: As tools/benchmark.py writes it. Rows that share a pipeline have the same results.

    Raises:
        ValueError: The file is not like that (file and line are named).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._miou: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        self._failed: dict[str, set[str]] = defaultdict(set)
        if path.is_file():
            with path.open(encoding='utf-8', newline='') as file:
                for where, line in _lines(csv.reader(file), path):
                    self._add(line, where)

    def _add(self, line: dict[str, str], where: str) -> None:
        pipeline, seed, stage = line['pipeline'], line['seed'], line['stage']
        if line['metric'] == 'failed':
            self._failed[pipeline].add(seed)
        elif line['metric'] == 'mIoU':
            value = _per_cent(line['value'], where)
            if self._miou[pipeline, stage].setdefault(seed, value) != value:
                raise ValueError(f'{where}: {pipeline}, seed {seed}, {stage}: a second mIoU')

    def figure(self, pipeline: str, stage: str) -> Figure | None:
        """Mean ± sample standard deviation over the seeds, or None if none was run.

        Seeds that failed are counted: ``60.1 ± 0.2 (2 of 3 seeds)``, ``failed``.
        """
        seeds = self._miou.get((pipeline, stage), {})
        failed = self._failed.get(pipeline, set()) - set(seeds)
        if not seeds:
            return Figure('failed', None) if failed else None
        mean = statistics.mean(seeds.values())
        text = f'{mean:.1f}'
        if len(seeds) > 1:
            text += f' ± {statistics.stdev(seeds.values()):.1f}'
        if failed:
            text += f' ({len(seeds)} of {len(seeds) + len(failed)} seeds)'
        return Figure(text, mean)


def _lines(reader, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if tuple(next(reader, ())) != FIELDS:
        raise ValueError(f'{path}:1: the columns must be {",".join(FIELDS)}')
    for cells in reader:
        where = f'{path}:{reader.line_num}'
        if len(cells) != len(FIELDS):
            raise ValueError(f'{where}: {len(cells)} cells in the place of {len(FIELDS)}')
        yield where, dict(zip(FIELDS, cells, strict=True))


def _per_cent(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ValueError(f'{where}: an mIoU must be a number from 0 to 100, got {text!r}')
    return value


class Figures:
    """What pipelines reached in their stages: results first, else what a metafile says.

    Args:
        pipelines: Folder of their configs.
        results: What was measured.
        typed: ``{'PIPELINE/STAGE': figure}`` of the metafiles, for stages without results.

    Raises:
        ValueError: There is no such pipeline, or none of its stages of that name gives an mIoU.
    """

    def __init__(self, pipelines: Path, results: Results, typed: dict[str, str]) -> None:
        self.pipelines, self.results, self.typed = pipelines, results, typed
        self._specs: dict[str, list[dict]] = {}
        for link in typed:
            self(*link.split('/'))

    def __call__(self, pipeline: str, stage: str) -> Figure | None:
        """The figure of a stage; None if it is not known yet."""
        stages = self.stages(pipeline)
        if stage not in stages:
            raise ValueError(f'{pipeline} has no stage {stage} with an mIoU; {", ".join(stages)}')
        typed = self.typed.get(f'{pipeline}/{stage}')
        return self.results.figure(pipeline, stage) or (Figure.typed(typed) if typed else None)

    def stages(self, pipeline: str, until: str | None = None) -> list[str]:
        """Stages of a pipeline that give an mIoU, in their order, behind ``until`` none."""
        if pipeline not in self._specs:
            self._specs[pipeline] = _specs(self.pipelines / f'{pipeline}.py')
        specs = self._specs[pipeline]
        if until is not None:
            names = [spec['name'] for spec in specs]
            check_choice(f'{pipeline}: until', until, names)
            specs = specs[: names.index(until) + 1]
        return [spec['name'] for spec in specs if spec['run'] in ('evaluate', 'test')]


def _specs(path: Path) -> list[dict]:
    from mmengine.config import Config

    from mmwsss.stages.chain import chained

    if not path.is_file():
        raise ValueError(f'there is no pipeline {path.stem} in {path.parent}')
    return list(chained(Config.fromfile(path), path))


class Row(NamedTuple):
    """A method in the summary: ``columns`` holds the figure of each of :data:`COLUMNS`."""

    title: str
    page: str | None
    columns: dict[str, Figure | None]
    bound: Figure | None


def read_rows(path: Path, figures: Figures, names: Sequence[str] = ()) -> list[Row]:
    """The methods of a benchmark.

    Args:
        path: Config of the benchmark (tools/benchmark.py).
        figures: Of its pipelines.
        names: Rows that are wanted; none: all but the networks trained on true masks.

    Raises:
        ValueError: There is no such config, a row has no title or pipeline, or names a bound or
            stage that there is not.
    """
    from mmengine.config import Config

    if not path.is_file():
        raise ValueError(f'there are no rows to sum up: no {path}')
    rows = Config.fromfile(path).to_dict().get('rows', {})
    rows = {name: row for name, row in rows.items() if row is not None}
    for name in names:
        check_choice('row', name, rows)
    found = []
    for name, row in rows.items():
        if not {'title', 'pipeline'} <= set(row):
            raise ValueError(f'{path}: the row {name} needs a title and a pipeline')
        if row.get('bound') not in (None, *rows):
            raise ValueError(f'{path}: bound={row["bound"]!r} of the row {name} is no row')
        if name in names if names else not row.get('true_masks'):
            columns = {column: _column(row, column, figures) for column in COLUMNS}
            bound = _column(rows[row['bound']], 'val', figures) if row.get('bound') else None
            found.append(Row(row['title'], row.get('page'), columns, bound))
    return found


def _column(row: dict, column: str, figures: Figures) -> Figure | None:
    pipeline = Path(row['pipeline']).stem
    default = column if column in figures.stages(pipeline, row.get('until')) else None
    stage = row.get('columns', {}).get(column, default)
    return stage and figures(pipeline, stage)
