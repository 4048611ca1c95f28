"""The benchmarks report alike; nothing is timed here."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / 'benchmarks'
SCRIPTS = sorted(path.name for path in FOLDER.glob('[!_]*.py'))


@pytest.fixture
def measure_module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import _measure

    yield _measure
    del sys.modules['_measure']


@pytest.mark.parametrize('name', SCRIPTS)
def test_every_script_reports_the_three_situations(name):
    text = (FOLDER / name).read_text()
    for needed in ('parse(__doc__', 'Report(__file__)', 'report.close()', '--repeat', '--quick'):
        assert needed in text, f'benchmarks/{name} lacks {needed}'
    for own in ('perf_counter', 'set_num_threads', '--threads'):
        assert own not in text, f'benchmarks/{name} measures by itself: {own}'


def test_rows_show_the_worst_ratio(measure_module, capsys):
    report = measure_module.Report('benchmarks/walk.py')
    slow = measure_module.Measured(None, [6.0, 3.0, 4.0], 100)
    fast = measure_module.Measured(None, [0.5, 0.75, 0.6], 2)
    report.add('a walk', 'a product', slow, fast)
    report.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith('= 1.20')
    assert lines[-1] == (
        '| `walk`: a walk | a product | 4 | 6 s / 0.5 s | 3 s / 0.75 s | 4 s / 0.6 s |'
    )


@pytest.mark.skipif(not Path('/proc').exists(), reason='needs Linux')
def test_the_busy_process_ends(measure_module):
    with measure_module.busy_process() as pid:
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
