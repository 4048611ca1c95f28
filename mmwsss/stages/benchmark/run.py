"""A benchmark from its cells to its page."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...utils.checks import check_output_folder
from .cells import Cell, run_cells
from .collect import collect
from .page import write_page
from .results import scores_of, with_others, write_results
from .rows import Benchmark


def run_benchmark(
    benchmark: Benchmark,
    jobs: int = 1,
    only_collect: bool = False,
    others: Sequence[str | os.PathLike] = (),
    threads: int = 1,
) -> dict[Cell, str]:
    """Run the rows that are wanted, and write ``results.csv`` and ``index.html`` of all there are.

    Args:
        benchmark: What :func:`read_benchmark` gives.
        jobs: Pipelines at a time.
        only_collect: Run nothing.
        others: ``results.csv`` of other machines, whose figures join those of this one.
        threads: CPU threads of each process.

    Returns:
        Why those cells failed that did.

    Raises:
        FileNotFoundError: With ``only_collect``: nothing has been run; or a file of others is
            missing.
        OSError: Nothing can be written to the folder; like the following before any work.
        RuntimeError: It holds another benchmark.
        ValueError: A row is not as it should be.
    """
    check_output_folder(benchmark.folder)
    _ = benchmark.columns  # mistakes in any row
    for other in others:
        scores_of(other)
    failures = {} if only_collect else run_cells(benchmark, jobs, threads)
    cells = collect(benchmark)
    if only_collect and not cells and not others:
        raise FileNotFoundError(
            f'{benchmark.folder} holds nothing of the rows of {benchmark.path}: run them without '
            '--collect, or name the right --work-dir'
        )
    write_results(benchmark.folder / 'results.csv', cells, others)
    write_page(benchmark.folder / 'index.html', benchmark, with_others(benchmark, cells, others))
    return failures
