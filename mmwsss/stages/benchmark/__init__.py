"""The benchmark: pipelines of many methods, several seeds each, in one table and one page."""

from .cells import Cell
from .results import scores_of
from .rows import Benchmark, Row, read_benchmark
from .run import run_benchmark

__all__ = ['Benchmark', 'Cell', 'Row', 'read_benchmark', 'run_benchmark', 'scores_of']
