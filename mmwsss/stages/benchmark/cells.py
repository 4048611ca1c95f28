"""Running the cells of a benchmark, each a pipeline with a seed in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from ...utils.checks import check_output_folder, check_range
from ...utils.io import write_json
from ...utils.parallel import die_with_parent
from ...utils.provenance import compare_settings
from ...utils.text import read_object
from ..pipeline import Pipeline
from .pictures import write_pictures
from .rows import Benchmark

LOG, FAILED, USAGE, LAYOUT = 'benchmark.log', 'failed.json', 'usage.json', 'benchmark.json'


@dataclass(frozen=True)
class Cell:
    """A pipeline with a seed; several rows may share it.

    Attributes:
        path: The pipeline's config.
        seed: Of everything random.
        until: The last stage that some row needs; None: all are done.
        pictures: Test stages whose predictions of a few images are kept, for the page.
    """

    path: Path
    seed: int
    until: str | None = None
    pictures: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages."""
        return f'{self.path.stem} seed {self.seed}'


def cells_of(benchmark: Benchmark) -> list[Cell]:
    """The cells that the wanted rows of a benchmark need, seed by seed."""
    rows: dict[Path, list] = {}
    for name in benchmark.wanted:
        row = benchmark.rows[name]
        rows.setdefault(row.pipeline, []).append(row)
    found = []
    for seed in benchmark.seeds:
        for path, sharing in rows.items():
            columns = [benchmark.columns[row.name] for row in sharing]
            shown = [one['val'] for one in columns if 'val' in one and seed == benchmark.seeds[0]]
            until = _last(benchmark, path, {row.until for row in sharing})
            found.append(Cell(path, seed, until, tuple(dict.fromkeys(shown))))
    return found


def _last(benchmark: Benchmark, path: Path, names: set[str | None]) -> str | None:
    """The latest of some stages of a pipeline; None is the end."""
    if None in names:
        return None
    if len(names) == 1:
        return next(iter(names))
    order = [stage.name for stage in benchmark.pipeline(path, benchmark.seeds[0]).stages]
    return max(names, key=order.index)


def run_cells(benchmark: Benchmark, jobs: int = 1, threads: int = 1) -> dict[Cell, str]:
    """Run the cells that the wanted rows need, several at a time; finished ones end at once.

    Args:
        benchmark: What is run.
        jobs: Cells at a time.
        threads: CPU threads of each process. Sums of other numbers differ in the last bit, so that
            trainings do, too; ``jobs`` changes no figure.

    Returns:
        Why those failed that did; the others are done.

    Raises:
        OSError: The folder cannot be written to.
        RuntimeError: It holds another benchmark.
        ValueError: ``jobs`` or ``threads`` is no whole number above 0.
    """
    check_range('jobs', jobs, 1, integer=True)
    check_range('threads', threads, 1, integer=True)
    cells = cells_of(benchmark)
    claim_folder(benchmark)
    jobs = min(jobs, len(cells))
    waiting, active, failures = list(enumerate(cells, 1)), {}, {}
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                number, cell = waiting.pop(0)
                process = _start(benchmark, cell, threads)
                active[process.sentinel] = process, cell, number, time.time()
                print(f'[{number}/{len(cells)}] {cell.name}: begins', flush=True)
            for sentinel in connection.wait(list(active)):
                process, cell, number, start = active.pop(sentinel)
                if reason := _end(benchmark, cell, process):
                    failures[cell] = reason
                took = f'{(time.time() - start) / 60:.1f} minutes'
                what = f'FAILED, {reason}' if reason else 'done'
                print(f'[{number}/{len(cells)}] {cell.name}: {what} ({took})', flush=True)
    finally:
        for process, *_ in active.values():
            process.kill()
    return failures


def claim_folder(benchmark: Benchmark) -> None:
    """Take down which pipelines the folder of a benchmark belongs to.

    Raises:
        OSError: It cannot be written to.
        RuntimeError: It belongs to others.
    """
    check_output_folder(benchmark.folder)
    path = benchmark.folder / LAYOUT
    rows = {name: row.pipeline.stem for name, row in benchmark.rows.items()}
    now = dict(data_root=benchmark.data_root, rows=rows)
    if path.is_file():
        earlier = read_object(path)
        if not isinstance(earlier.get('rows'), dict):
            raise RuntimeError(f'{path} does not say which rows lie here: it is damaged, remove it')
        kept = {name: rows[name] for name in earlier['rows'] if name in rows}
        known = {name: earlier['rows'][name] for name in kept}
        then = dict(earlier, rows=known)
        if changes := compare_settings(then, dict(now, rows=kept)):
            raise RuntimeError(
                f'{benchmark.folder} holds another benchmark: {"; ".join(changes)}. Use another '
                f'--work-dir, or give the config {benchmark.path} another name.'
            )
    write_json(path, now)


def _start(benchmark: Benchmark, cell: Cell, threads: int) -> BaseProcess:
    root = benchmark.root(cell.path, cell.seed)
    root.mkdir(parents=True, exist_ok=True)
    (root / FAILED).unlink(missing_ok=True)
    context = get_context('fork' if sys.platform == 'linux' else 'spawn')
    process = context.Process(target=_run, args=(benchmark, cell, threads, os.getpid()))
    process.start()
    return process


def _run(benchmark: Benchmark, cell: Cell, threads: int, parent: int) -> None:
    """For the process of a cell: all that it prints goes to its log."""
    root = benchmark.root(cell.path, cell.seed)
    log = open(root / LOG, 'a', buffering=1, encoding='utf-8')  # noqa: SIM115 (until the end)
    for number in (1, 2):  # of the processes that it starts
        os.dup2(log.fileno(), number)
    sys.stdout = sys.stderr = log
    die_with_parent(parent)
    os.environ['OMP_NUM_THREADS'] = str(threads)
    torch.set_num_threads(threads)
    try:
        _run_pipeline(benchmark.pipeline(cell.path, cell.seed, cell.until), cell, root)
    except (OSError, RuntimeError, ValueError) as error:
        print(f'error: {error}', flush=True)
        write_json(root / FAILED, dict(reason=' '.join(str(error).split())))
        sys.exit(1)


def _run_pipeline(pipeline: Pipeline, cell: Cell, root: Path) -> None:
    begun = _written(pipeline)
    earlier = [peak_memory_in(root)] if begun else []
    pipeline.run()
    peaks = [*earlier, _peak_memory()]
    # None: a part of the stages was run unseen
    if None not in peaks and _written(pipeline) != begun:
        write_json(root / USAGE, dict(peak_memory_mb=max(peaks)))
    for name in cell.pictures:
        try:
            write_pictures(pipeline, name, root)
        except (OSError, RuntimeError, ValueError) as error:
            print(f'no pictures of stage {name}: {error}', flush=True)


def _written(pipeline: Pipeline) -> dict[Path, int]:
    """When the records of stages were written."""
    records = (pipeline.records / f'{stage.name}.json' for stage in pipeline.stages)
    return {path: path.stat().st_mtime_ns for path in records if path.is_file()}


def _peak_memory() -> float | None:
    """Megabytes of the largest process among this one and its descendants, where it is counted."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / unit


def _end(benchmark: Benchmark, cell: Cell, process: BaseProcess) -> str:
    """Why a cell has failed; empty if it has not."""
    process.join()
    root = benchmark.root(cell.path, cell.seed)
    if process.exitcode == 0:
        return ''
    if not (root / FAILED).is_file():
        write_json(root / FAILED, dict(reason=_unexplained(process.exitcode)))
    return f'{failure_in(root)} Log: {root / LOG}'


def _unexplained(code: int) -> str:
    if code >= 0:
        return f'its process ended with exit code {code}, see the end of its log.'
    name = signal.Signals(-code).name
    return f'its process was ended by {name}, most likely because the memory was used up.'


def failure_in(root: Path) -> str:
    """Why the cell in a folder has failed; empty if it has not, or was not run."""
    path = root / FAILED
    return str(read_object(path).get('reason', 'unknown')) if path.is_file() else ''


def peak_memory_in(root: Path) -> float | None:
    """Peak memory of the cell in a folder in megabytes, if it ran in one go."""
    path = root / USAGE
    return read_object(path).get('peak_memory_mb') if path.is_file() else None
