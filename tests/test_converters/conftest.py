import importlib
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / 'tools' / 'model_converters'


@pytest.fixture
def command(monkeypatch) -> ModuleType:
    """``tools/model_converters/convert.py``, imported."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module('convert')


@pytest.fixture
def run_script(command, monkeypatch, capsys) -> Callable[..., str]:
    """Run a script of ``tools/model_converters`` in this process; returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', [str(SCRIPTS / name), *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(SCRIPTS / name), run_name='__main__')
        return capsys.readouterr().out

    return run
