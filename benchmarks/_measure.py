"""What the benchmarks share: time and peak memory of a function."""

import statistics
import threading
import time
from collections.abc import Callable


class PeakMemory:
    """Largest resident memory above the start, sampled every millisecond, in MiB."""

    def __enter__(self) -> 'PeakMemory':
        self.start, self.peak, self.running = _resident(), 0.0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.peak = max(self.peak, _resident() - self.start)
            time.sleep(0.001)

    def __exit__(self, *_) -> None:
        self.running = False
        self.thread.join()


def _resident() -> float:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 2**20


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
