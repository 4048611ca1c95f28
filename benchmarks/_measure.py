"""What the benchmarks share: time and peak memory of a function."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch


class PeakMemory:
    """Largest resident memory above the start in MiB, as Linux counts it."""

    def __enter__(self) -> 'PeakMemory':
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')  # start the count anew
        self.start = _peak()
        return self

    def __exit__(self, *_) -> None:
        self.peak = _peak() - self.start


def _peak() -> float:
    with open('/proc/self/status') as file:
        line = next(line for line in file if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1024


def measure(function: Callable, repeat: int) -> tuple[float, float, object]:
    """Median seconds, peak MiB and the result; the first call, for the memory, is not timed."""
    with PeakMemory() as memory:
        result = function()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), memory.peak, result


def measure_apart(
    function: Callable, threads: int, repeat: int, warm_up: Callable | None = None
) -> tuple[float, float, object]:
    """:func:`measure` in a process of its own, whose memory nothing else has used before.

    Args:
        function: Can be pickled; its result, too.
        threads: Of torch.
        warm_up: Called before, for what is loaded and compiled only once.
    """
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure_with_threads, function, threads, repeat, warm_up).result()


def _measure_with_threads(
    function: Callable, threads: int, repeat: int, warm_up: Callable | None
) -> tuple[float, float, object]:
    torch.set_num_threads(threads)
    if warm_up is not None:
        warm_up()
    return measure(function, repeat)
