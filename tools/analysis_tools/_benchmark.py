"""What the benchmark measured, stage by stage of its pipelines, and what it shows."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmwsss.stages.benchmark import Row, read_benchmark
from mmwsss.stages.benchmark.results import read_results
from mmwsss.stages.benchmark.rows import COLUMNS
from mmwsss.utils.checks import check_choice

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
        seeds: How many the benchmark wants; figures of fewer say so.

    Raises:
        ValueError: The file is not like that (file and line are named).
    """

    def __init__(self, path: Path, seeds: int = 1) -> None:
        self.path, self.seeds = path, seeds
        self._miou: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        self._failed: dict[str, set[int]] = defaultdict(set)
        digests: dict[str, str] = {}
        for row, pipeline, seed, digest, stage, metric, value in (
            read_results(path) if path.is_file() else ()
        ):
            if metric == 'mIoU' and digests.setdefault(row, digest) != digest:
                raise ValueError(f'{path}: {row}: its seeds were run with different settings')
            if metric == 'failed':
                self._failed[pipeline].add(seed)
            elif metric == 'mIoU':
                who = f'{path}: {pipeline}, seed {seed}, {stage}'
                if self._miou[pipeline, stage].setdefault(seed, float(value)) != float(value):
                    raise ValueError(f'{who}: a second mIoU')

    def figure(self, pipeline: str, stage: str) -> Figure | None:
        """Mean ± sample standard deviation over the seeds, or None if none was run.

        Seeds that lack are counted: ``60.1 ± 0.2 (2 of 3 seeds)``, ``failed``.
        """
        seeds = self._miou.get((pipeline, stage), {})
        failed = self._failed.get(pipeline, set()) - set(seeds)
        if not seeds:
            return Figure('failed', None) if failed else None
        mean = statistics.mean(seeds.values())
        text = f'{mean:.1f}'
        if len(seeds) > 1:
            text += f' ± {statistics.stdev(seeds.values()):.1f}'
        wanted = max(self.seeds, len(seeds) + len(failed))
        if len(seeds) < wanted:
            text += f' ({len(seeds)} of {wanted} seeds)'
        return Figure(text, mean)


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


class Line(NamedTuple):
    """A method in the summary: ``columns`` holds the figure of each of :data:`COLUMNS`."""

    title: str
    page: str | None
    columns: dict[str, Figure | None]
    bound: Figure | None


def read_rows(path: Path, figures: Figures, names: Sequence[str] = ()) -> list[Line]:
    """The methods of a benchmark.

    Args:
        path: Config of the benchmark (tools/benchmark.py).
        figures: Of its pipelines.
        names: Rows that are wanted; none: all but the networks trained on true masks.

    Raises:
        FileNotFoundError, ValueError: See :func:`mmwsss.stages.benchmark.read_benchmark`; or a row
            names a stage that there is not.
    """
    rows = read_benchmark(path, 'work_dirs', names or None).rows
    found = []
    for name, row in rows.items():
        if name in names if names else not row.true_masks:
            columns = {column: _column(row, column, figures) for column in COLUMNS}
            bound = _column(rows[row.bound], 'val', figures) if row.bound else None
            found.append(Line(row.title, row.page, columns, bound))
    return found


def _column(row: Row, column: str, figures: Figures) -> Figure | None:
    pipeline = row.pipeline.stem
    default = column if column in figures.stages(pipeline, row.until) else None
    stage = row.given.get(column, default)
    return stage and figures(pipeline, stage)
