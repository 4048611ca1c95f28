"""The rows of a benchmark, as its config describes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...utils.checks import check_choice, check_range, check_unique
from ...utils.text import read_config
from ..config_stages import TestStage
from ..folder_stages import EvaluateStage
from ..launch import Launch
from ..pipeline import Pipeline

COLUMNS = ('seed', 'mask', 'val', 'val_crf')
_KEYS = ('title', 'pipeline', 'columns', 'bound', 'until', 'true_masks', 'page')


@dataclass(frozen=True)
class Row:
    """A method of a benchmark.

    Attributes:
        name: Of the row.
        title: For readers.
        pipeline: Its pipeline's config.
        given: ``{column: stage}`` where the stage is not called as the column; None: no stage.
        bound: The row of the same network trained on true masks.
        until: The last stage of the pipeline that is done; None: all are.
        true_masks: It is such a bound itself.
        page: Page of the method in ``docs``, without suffix; tables of figures link to it.
    """

    name: str
    title: str
    pipeline: Path
    given: Mapping[str, str | None] = field(default_factory=dict)
    bound: str | None = None
    until: str | None = None
    true_masks: bool = False
    page: str | None = None

    def columns(self, pipeline: Pipeline) -> dict[str, str]:
        """``{column: stage}`` of those that it has.

        Raises:
            ValueError: A stage is not in the pipeline, or gives no score.
        """
        kinds = (TestStage, EvaluateStage)
        scored = [stage.name for stage in pipeline.stages if isinstance(stage, kinds)]
        found = {}
        for column in COLUMNS:
            stage = self.given.get(column, column if column in scored else None)
            if stage is not None:
                check_choice(f'stage of the column {column} of the row {self.name}', stage, scored)
                found[column] = stage
        return found


@dataclass(frozen=True)
class Benchmark:
    """Rows and seeds of a benchmark, and where it lies.

    Attributes:
        path: Its config.
        work_dir: Folder of all benchmarks.
        rows: By their name.
        wanted: Names of those that are to be run.
        seeds: To be run.
        data_root: Of all pipelines; None: as each says.
        launch: How the processes of a stage are started.
        restart: Do anew what was made with other settings or files.
    """

    path: Path
    work_dir: Path
    rows: Mapping[str, Row]
    wanted: Sequence[str]
    seeds: Sequence[int]
    data_root: str | None
    launch: Launch
    restart: bool = False

    @property
    def folder(self) -> Path:
        """Folder of the runs, of ``results.csv`` and of the page."""
        return self.work_dir / f'benchmark_{self.path.stem}'

    def root(self, pipeline: Path, seed: int) -> Path:
        """Where the run of a pipeline with a seed lies."""
        return self.folder / pipeline.stem / f'seed{seed}'

    def pipeline(self, path: Path, seed: int, until: str | None = None) -> Pipeline:
        """The run of a pipeline with a seed."""
        return Pipeline(
            path,
            self.root(path, seed),
            {'randomness.seed': seed},
            self.launch,
            self.restart,
            data_root=self.data_root,
            until=until,
        )

    @cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        """``{row: {column: stage}}``; every pipeline is built, so that mistakes are found.

        Raises:
            FileNotFoundError, ValueError: A pipeline, or a column, is not as it should be.
        """
        found = {}
        for row in self.rows.values():
            pipeline = self.pipeline(row.pipeline, self.seeds[0], row.until)
            found[row.name] = row.columns(pipeline)
        return found


def read_benchmark(
    path: str | os.PathLike,
    work_dir: str | os.PathLike,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    launch: Launch | None = None,
    restart: bool = False,
) -> Benchmark:
    """Read a config of ``configs/benchmarks``.

    ``rows`` is a dict ``{name: row}``, and a row a dict of ``title`` and ``pipeline`` (a path,
    relative to the config). It may have ``columns``, ``bound``, ``until``, ``true_masks`` and
    ``page``, see
    :class:`Row`. ``seeds`` is a list, ``data_root`` where the data lie.

    Args:
        path: The config.
        work_dir: Folder of everything that is written.
        rows, seeds: Those that are wanted; None: all.
        launch: How processes are started.
        restart: Throw away what was made with other settings or files instead of refusing.

    Raises:
        FileNotFoundError: No such config or pipeline.
        ValueError: A row is not as described, or there is none of a name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Benchmark {path} does not exist (folder: {Path.cwd()}).')
    config = read_config(path)
    known = {name: spec for name, spec in (config.get('rows') or {}).items() if spec is not None}
    if not known:
        raise ValueError(f'{path} has no rows: add rows = dict(NAME=dict(title=, pipeline=))')
    found = {name: _row(name, spec, path) for name, spec in known.items()}
    for row in found.values():
        _check_bound(row, found, path)
    _check_folders(found, path)
    _check_wanted(found, rows, path)
    seeds = config.get('seeds', [0]) if seeds is None else seeds
    _check_seeds(seeds, path)
    return Benchmark(
        path=path,
        work_dir=Path(work_dir),
        rows=found,
        wanted=list(found) if rows is None else list(rows),
        seeds=list(seeds),
        data_root=config.get('data_root'),
        launch=launch or Launch(),
        restart=restart,
    )


def _row(name: str, spec: Any, path: Path) -> Row:
    if not isinstance(spec, Mapping) or not {'title', 'pipeline'} <= set(spec):
        raise ValueError(f'{path}: the row {name} must be a dict with title and pipeline')
    for key in spec:
        check_choice(f'{path}: a key of the row {name}', key, _KEYS)
    columns = spec.get('columns', {})
    if not isinstance(columns, Mapping):
        raise ValueError(
            f'{path}: columns of the row {name} must be a dict {{column: stage}}, got {columns!r}'
        )
    for key in columns:
        check_choice(f'{path}: a column of the row {name}', key, COLUMNS)
    pipeline = Path(os.path.normpath(path.parent / spec['pipeline']))
    if not pipeline.is_file():
        raise FileNotFoundError(f'{path}: the row {name}: there is no pipeline {pipeline}')
    return Row(
        name,
        spec['title'],
        pipeline,
        dict(columns),
        spec.get('bound'),
        spec.get('until'),
        spec.get('true_masks', False),
        spec.get('page'),
    )


def _check_folders(rows: Mapping[str, Row], path: Path) -> None:
    """Pipelines of one name would share a folder."""
    known: dict[str, Path] = {}
    for row in rows.values():
        other = known.setdefault(row.pipeline.stem.casefold(), row.pipeline)
        if other != row.pipeline:
            raise ValueError(
                f'{path}: {other} and {row.pipeline} (row {row.name}) have one name, which is that '
                'of their folder: rename one'
            )


def _check_bound(row: Row, known: Mapping[str, Row], path: Path) -> None:
    if row.bound is None:
        return
    check_choice(f'{path}: bound of the row {row.name}', row.bound, known)
    if not known[row.bound].true_masks:
        raise ValueError(
            f'{path}: the row {row.name} has bound={row.bound!r}, which is not said to be trained '
            'on true masks: add true_masks=True to that row, or name another'
        )


def _check_seeds(seeds: Any, path: Path) -> None:
    if not isinstance(seeds, Sequence) or isinstance(seeds, str) or not seeds:
        raise ValueError(f'{path}: seeds must be a list of whole numbers, got {seeds!r}')
    for seed in seeds:
        check_range(f'{path}: a seed', seed, 0, integer=True)
    check_unique('seeds', map(str, seeds))


def _check_wanted(known: Mapping[str, Row], names: Sequence[str] | None, path: Path) -> None:
    if names is None:
        return
    if not names:
        raise ValueError(f'no row is named; {path} has {", ".join(known)}')
    for name in names:
        check_choice(f'row of {path}', name, known)
    check_unique('rows', names)
