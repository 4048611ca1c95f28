"""Independent tasks in several processes, with progress; a killed process is noticed."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from mmengine.utils import ProgressBar

from .checks import check_range

# As many tasks are handed out ahead of the workers; all at once would hold all results.
_AHEAD = 4


def map_parallel(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    processes: int | None = None,
    chunk: int = 1,
) -> list[Any]:
    """``[function(task) for task in tasks]`` by several processes, with a progress bar.

    Every process uses one thread, and ends when this one does, however that ends.

    Args:
        function: Can be pickled.
        tasks: Can be pickled.
        processes: None: one per CPU. With 1, everything is done here.
        chunk: Tasks handed to a process at a time.

    Raises:
        ValueError: ``processes`` is below 1.
        RuntimeError: A process was killed; says how many tasks were done before.
        Exception: Whatever ``function`` raises.
    """
    check_range('processes', processes, 1, integer=True)
    if not tasks:
        return []
    chunks = [tasks[i : i + chunk] for i in range(0, len(tasks), chunk)]
    processes = min(processes or os.cpu_count() or 1, len(chunks))
    bar = ProgressBar(len(tasks))
    results: dict[int, list[Any]] = {}
    for index, part in _completed(partial(_run_chunk, function), chunks, processes):
        results[index] = part
        for _ in part:
            bar.update()
    return [result for index in range(len(chunks)) for result in results[index]]


def _completed(
    run: Callable, chunks: list[Sequence[Any]], processes: int
) -> Iterator[tuple[int, list[Any]]]:
    """Results with their place, as they come."""
    if processes == 1:
        yield from ((index, run(chunk)) for index, chunk in enumerate(chunks))
        return
    # Not 'forkserver', the default of newer Pythons: its workers are children of another process.
    context = get_context('fork' if sys.platform == 'linux' else 'spawn')
    initializer = partial(_start_worker, os.getpid())
    with ProcessPoolExecutor(processes, context, initializer) as pool:
        waiting, done, queue = {}, 0, iter(enumerate(chunks))
        try:
            while True:
                for index, chunk in queue:
                    waiting[pool.submit(run, chunk)] = index
                    if len(waiting) >= _AHEAD * processes:
                        break
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
                    done += 1
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, BrokenProcessPool):
                raise
            raise RuntimeError(
                f'a worker process was killed after {done} of {len(chunks)} pieces of work, most '
                'likely because the memory was used up. What is done is kept: give the same '
                f'command again, with fewer processes than {processes}.'
            ) from None


def _run_chunk(function: Callable, chunk: Sequence[Any]) -> list[Any]:
    try:
        return [function(task) for task in chunk]
    except Exception as error:
        if _survives(error):
            raise
        # The pool would take the process for a killed one.
        raise RuntimeError(f'{type(error).__name__}: {error}') from None


def _survives(error: Exception) -> bool:
    """Whether an exception reaches another process as what it is."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # whatever its constructor raises
        return False


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)
    die_with_parent(parent)


def die_with_parent(parent: int, interval: float = 0.5) -> None:
    """End this process soon after its parent has ended, even if the parent was killed.

    Args:
        parent: Process id of the parent.
        interval: Seconds between two looks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(interval)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
