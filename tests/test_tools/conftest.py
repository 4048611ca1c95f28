import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run_tool() -> Callable[..., subprocess.CompletedProcess]:
    """Run a script of tools/ with this Python, one thread, in a given folder."""

    def run(name: str, *args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess:
        interpreter = 'bash' if name.endswith('.sh') else sys.executable
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        return subprocess.run(
            [interpreter, str(TOOLS / name), *map(str, args)],
            cwd=cwd,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': path, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
