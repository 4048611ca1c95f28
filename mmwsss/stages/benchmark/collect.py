"""What the cells of a benchmark have left, from their records and logs; nothing is run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.text import read_object
from ..config_stages import CheckpointStage, TrainStage, last_checkpoint
from ..pipeline import Pipeline
from ..stage import Stage
from .cells import failure_in, peak_memory_in
from .logs import TrainingLog, read_training, seconds_per_image, trained_parameters
from .rows import Benchmark, Row


@dataclass
class StageResult:
    """What a finished stage has left.

    Attributes:
        name: Of the stage.
        seconds: That it took.
        scores: ``mIoU`` and ``IoU/<class>`` in percent, if it judges.
        best_on_truth: A threshold or power was chosen by the true masks that it is judged on.
        costs: ``trained_parameters``, ``seconds_per_step`` and ``seconds_per_image``, those that
            are known.
        log: Of a training.
    """

    name: str
    seconds: float
    scores: dict[str, float] = field(default_factory=dict)
    best_on_truth: bool = False
    costs: dict[str, float] = field(default_factory=dict)
    log: TrainingLog | None = None


@dataclass
class CellResult:
    """What the run of a row with a seed has left.

    Attributes:
        row: The row.
        seed: The seed.
        pipeline: Its pipeline.
        root: Its folder.
        digest: Of its settings, the seed aside: the same for all seeds of a row.
        stages: Those that are finished, by name.
        missing: Names of the others.
        failed: Why it has failed, if so.
        peak_memory_mb: Of its largest process, or on its GPU; None if unknown.
    """

    row: Row
    seed: int
    pipeline: Pipeline
    root: Path
    digest: str
    stages: dict[str, StageResult]
    missing: list[str]
    failed: str = ''
    peak_memory_mb: float | None = None


def collect(benchmark: Benchmark) -> list[CellResult]:
    """Everything that lies in the folder of a benchmark, of all its rows and of whatever seeds.

    Raises:
        ValueError: A record is no JSON; names it.
    """
    found = []
    for row in benchmark.rows.values():
        for seed in _seeds(benchmark.folder / row.pipeline.stem):
            cell = _cell(benchmark, row, seed)
            if cell.stages or cell.failed:
                found.append(cell)
    return found


def _seeds(folder: Path) -> list[int]:
    names = [path.name for path in folder.glob('seed*')]
    return sorted(int(name[4:]) for name in names if re.fullmatch(r'seed(0|[1-9]\d*)', name))


def _cell(benchmark: Benchmark, row: Row, seed: int) -> CellResult:
    pipeline = benchmark.pipeline(row.pipeline, seed, row.until)
    root = benchmark.root(row.pipeline, seed)
    records = _records(pipeline)
    stages = {
        stage.name: _result(stage, records[stage.name])
        for stage in pipeline.stages
        if stage.name in records
    }
    missing = [stage.name for stage in pipeline.stages if stage.name not in records]
    gpu = [one.log.peak_memory for one in stages.values() if one.log and one.log.peak_memory]
    return CellResult(
        row=row,
        seed=seed,
        pipeline=pipeline,
        root=root,
        digest=_digest([record['depends'] for record in records.values()], str(root)),
        stages=stages,
        missing=missing,
        failed=failure_in(root) if missing else '',
        peak_memory_mb=max(gpu, default=peak_memory_in(root)),
    )


def _records(pipeline: Pipeline) -> dict[str, dict]:
    """Records of the stages that the latest run has found finished, or has finished."""
    path = pipeline.records / 'report.json'
    report = read_object(path) if path.is_file() else {}
    needed = {'metrics', 'seconds', 'depends'}
    if not all(isinstance(one, dict) and needed <= one.keys() for one in report.values()):
        raise ValueError(f'{path} is no report of a pipeline: run the pipeline again')
    names = [stage.name for stage in pipeline.stages]
    return {name: report[name] for name in names if name in report}


def _result(stage: Stage, record: Mapping[str, Any]) -> StageResult:
    metrics = record['metrics']
    scores = {k: float(v) for k, v in metrics.items() if k == 'mIoU' or k.startswith('IoU/')}
    result = StageResult(
        name=stage.name,
        seconds=float(record['seconds']),
        scores=scores,
        best_on_truth=any(key.startswith('best_') for key in metrics),
    )
    costs: dict[str, float | None] = {}
    if isinstance(stage, TrainStage):
        result.log = read_training(stage.work_dir)
        costs['seconds_per_step'] = result.log.seconds_per_step
        costs['trained_parameters'] = _parameters(stage)
    if isinstance(stage, CheckpointStage):
        loader = record['depends'].get('config', {}).get('test_dataloader') or {}
        batch_size = loader.get('batch_size') or 1
        costs['seconds_per_image'] = seconds_per_image(stage.work_dir, batch_size)
    result.costs = {name: value for name, value in costs.items() if value is not None}
    return result


def _parameters(stage: Stage) -> int | None:
    """Unknown where the checkpoint has been removed since, or is none of ours."""
    try:
        return trained_parameters(last_checkpoint(stage.work_dir))
    except (OSError, RuntimeError, ValueError):
        return None


def _digest(depends: list[dict], root: str) -> str:
    """Of what the stages say of themselves, wherever they lie and whatever the seed."""
    settings = []
    for one in depends:
        config = {k: v for k, v in one.get('config', {}).items() if k != 'randomness'}
        named = one.get('files', {}).get('named', {})
        settings.append(dict(stage=one.get('stage'), config=config, named=named))
    text = json.dumps(settings, sort_keys=True).replace(json.dumps(root)[1:-1], 'work_dirs')
    return hashlib.sha1(text.encode()).hexdigest()[:12]
