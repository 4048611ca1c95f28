import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run a converter as from the command line: exit code, and what it prints and complains."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOLS / name), *map(str, arguments)])
        monkeypatch.setattr(sys, 'path', [str(TOOLS), *sys.path])  # as Python does
        capsys.readouterr()
        code = None
        try:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        except SystemExit as error:
            code = error.code
        said = capsys.readouterr()
        complaint = code if isinstance(code, str) else ''
        number = 1 if complaint else int(code or 0)
        return SimpleNamespace(code=number, out=said.out, err=said.err + complaint)

    return run
