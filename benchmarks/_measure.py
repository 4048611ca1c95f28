"""What the benchmarks share: time and peak memory of a function."""

import statistics
import time
from collections.abc import Callable


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
