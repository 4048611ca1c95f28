"""What the benchmarks share: time in three situations, peak memory, and the table of results.

Every benchmark prints, for its baseline and for ours, the seconds with one thread, with all threads
(the default), and with all threads beside a process that is always busy, and at the end the rows
of the table in docs/speed.md, which begin with ``|``. All rows of all benchmarks:

    for f in benchmarks/[!_]*.py; do python $f; done | tee benchmarks.log | grep '^|'
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import torch

SITUATIONS = ('one thread', 'all threads', 'beside a busy process')
_SPIN = 'import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100_000))'
_SHORTEST = 0.05  # seconds that are timed at least
_FOREIGN = 0.1  # CPUs used by others from which on a warning is printed


def parse(description: str | None, repeat: int = 3, **options: Any) -> argparse.Namespace:
    """Command line of a benchmark.

    Args:
        description: Text of ``--help``.
        repeat: Default of ``--repeat``; ``--quick`` makes it 1.
        options: Further options and their defaults, which give the types.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--repeat', type=int, default=repeat, help='timed calls of every function')
    parser.add_argument('--quick', action='store_true', help='a small problem, timed once')
    for name, default in options.items():
        parser.add_argument(f'--{name}', type=type(default), default=default)
    args = parser.parse_args()
    if args.quick:
        args.repeat = 1
    return args


@dataclass
class Measured:
    """A function's result and cost.

    Attributes:
        seconds: Medians in the three :data:`SITUATIONS`.
        peak: MiB of the first call, which is not timed.
    """

    result: object
    seconds: list[float]
    peak: float

    @property
    def collapse(self) -> float:
        """Time with all threads beside a busy process / time with one thread."""
        return self.seconds[2] / self.seconds[0]


def measure(functions: dict[str, Callable], repeat: int) -> dict[str, Measured]:
    """Time functions that take turns, so that all see the same load.

    Says so if other processes than this one's use the CPUs meanwhile.
    """
    results = {}
    for name, function in functions.items():
        with PeakMemory() as memory:
            result = function()
        results[name] = Measured(result, [], memory.peak)
    threads = torch.get_num_threads()
    load = _ForeignLoad()
    for situation in SITUATIONS:
        _limit_threads(1 if situation == 'one thread' else threads)
        if situation == 'beside a busy process':
            with busy_process() as pid:
                seconds = _take_turns(functions, repeat)
                load.subtract(pid)
        else:
            seconds = _take_turns(functions, repeat)
        for name, value in seconds.items():
            results[name].seconds.append(value)
    if load.cpus() > _FOREIGN:
        print(f'(other processes used {load.cpus():.1f} CPUs meanwhile: measure again)')
    return results


def _take_turns(functions: dict[str, Callable], repeat: int) -> dict[str, float]:
    seconds = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            seconds[name].append(_time(function))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _time(function: Callable) -> float:
    """Seconds of a call, the mean over many if it is short."""
    start, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - start < _SHORTEST:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def _limit_threads(count: int) -> None:
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


@contextmanager
def busy_process() -> Iterator[int]:
    """A process that computes all the time and ends with this one; yields its id."""
    process = subprocess.Popen([sys.executable, '-S', '-c', _SPIN, str(os.getpid())])
    try:
        time.sleep(0.2)
        yield process.pid
    finally:
        process.kill()
        process.wait()


class _ForeignLoad:
    """CPUs that processes other than this one and its children use, on average."""

    def __init__(self) -> None:
        self.start, self.known = time.perf_counter(), 0.0
        self.total, self.own = _system_seconds(), sum(os.times()[:2])

    def subtract(self, pid: int) -> None:
        """Leave the time of a child out, which must still run."""
        with open(f'/proc/{pid}/stat') as file:
            ticks = file.read().rpartition(')')[2].split()[11:13]
        self.known += sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK')

    def cpus(self) -> float:
        """The average so far."""
        used = _system_seconds() - self.total - (sum(os.times()[:2]) - self.own) - self.known
        return used / (time.perf_counter() - self.start)


def _system_seconds() -> float:
    """CPU seconds that all processes have used."""
    with open('/proc/stat') as file:
        user, nice, system = map(int, file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf('SC_CLK_TCK')


class Report:
    """Prints every comparison as it comes, and at the end the rows of docs/speed.md.

    The columns of a row: what, baseline, the worst of the three ratios, and the seconds of both in
    the three :data:`SITUATIONS`.

    Args:
        script: ``__file__`` of the benchmark.
    """

    def __init__(self, script: str) -> None:
        self.script = os.path.splitext(os.path.basename(script))[0]
        self.rows: list[str] = []
        self.worst = 0.0
        print(
            f'{self.script} (columns: {", ".join(SITUATIONS)}; {torch.get_num_threads()} threads)'
        )

    def compare(
        self, name: str, baseline: str, slow: Callable, fast: Callable, same: Callable, repeat: int
    ) -> None:
        """Time a baseline and ours by turns, check the results and print a row.

        Args:
            name: What is measured.
            baseline: What ``slow`` is.
            same: Gets both results; raises AssertionError if they differ.
        """
        fast()  # loads and compiles, which the peak shall not count
        measured = measure({'slow': slow, 'fast': fast}, repeat)
        same(measured['slow'].result, measured['fast'].result)
        self.add(name, baseline, measured['slow'], measured['fast'])

    def add(self, name: str, baseline: str, slow: Measured, fast: Measured) -> None:
        """Print times, peaks and ratios of what was measured, and remember the row."""
        print(f'{name}\n  baseline: {baseline}')
        for who, measured in (('baseline', slow), ('mmwsss', fast)):
            times = ', '.join(map(_seconds, measured.seconds))
            print(f'  {who:8} {times}; peak +{measured.peak:.0f} MiB')
        pairs = list(zip(slow.seconds, fast.seconds, strict=True))
        ratios = [baseline / ours for baseline, ours in pairs]
        print(f'  ratio    {", ".join(f"{ratio:.3g}" for ratio in ratios)}', flush=True)
        self.worst = max(self.worst, fast.collapse)
        worst = min(ratios)
        cells = [
            f'{worst:.0f}' if worst >= 10 else f'{worst:.2g}',
            *(f'{_seconds(a)} / {_seconds(b)}' for a, b in pairs),
        ]
        self.rows.append(f'| `{self.script}`: {name} | {baseline} | {" | ".join(cells)} |')

    def close(self) -> None:
        """Print the worst loss beside a busy process and the rows of the table."""
        print(f'worst ours: {SITUATIONS[2]} / {SITUATIONS[0]} = {self.worst:.2f}')
        print('\n'.join(self.rows))


def _seconds(value: float) -> str:
    return f'{value:.3g} s' if value >= 0.1 else f'{value * 1e3:.2g} ms'


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


def peak_apart(function: Callable, warm_up: Callable) -> float:
    """Peak MiB of a function in a process of its own, whose memory nothing has used before.

    Args:
        function: Can be pickled.
        warm_up: Called before, for what is loaded and compiled only once.
    """
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_peak_after, function, warm_up).result()


def _peak_after(function: Callable, warm_up: Callable) -> float:
    warm_up()
    with PeakMemory() as memory:
        function()
    return memory.peak
