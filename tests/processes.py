"""Scripts in processes of their own that need not import PyTorch and MMSegmentation anew.

A fork server imports them once; its children are fresh processes in every other respect.
"""

import ctypes
import gc
import multiprocessing
import os
import runpy
import socket
import sys
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

TOOLS = Path(__file__).parents[1] / 'tools'
FORKS = 'forkserver' in multiprocessing.get_all_start_methods()
SERVER = multiprocessing.get_context('forkserver' if FORKS else 'spawn')
if FORKS:
    heavy = ['pytest', 'matplotlib.pyplot', 'mmseg.apis', 'mmwsss.apis', 'mmwsss.testing']
    SERVER.set_forkserver_preload(heavy)


@dataclass
class Done:
    """What a process has left."""

    returncode: int
    stdout: str
    stderr: str


def start(function, *args) -> BaseProcess:
    """Call a function of a module in a process of its own, with one thread for PyTorch."""
    before = os.environ.get('OMP_NUM_THREADS')
    os.environ['OMP_NUM_THREADS'] = '1'  # read when the server imports PyTorch
    process = SERVER.Process(target=_call, args=(function, *args))
    try:
        process.start()
    finally:
        del os.environ['OMP_NUM_THREADS']
        os.environ.update({} if before is None else {'OMP_NUM_THREADS': before})
    return process


def _call(function, *args) -> None:
    multiprocessing.set_start_method(None, force=True)  # its own children: Python's default
    gc.freeze()  # see conftest.py
    function(*args)


def run_ranks(function, *args, processes: int = 2, timeout: float = 300) -> None:
    """Call ``function(rank, *args)`` in several processes; all must come to their end."""
    started = [start(function, rank, *args) for rank in range(processes)]
    for process in started:
        process.join(timeout)
        process.kill()
    assert [process.exitcode for process in started] == [0] * processes


def as_script(path: Path, args: list[str], cwd: Path, env: dict[str, str], out: Path) -> None:
    """For the process: become ``python PATH ARGS``, with its output in files."""
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        os.dup2(os.open(f'{out}.{name}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [str(path), *args]
    sys.path[:] = [str(path.parent), *env.get('PYTHONPATH', '').split(os.pathsep), *sys.path]
    runpy.run_path(str(path), run_name='__main__')


def run_script(
    path: Path, *args: object, cwd: Path, out: Path, processes: int = 1, **env: str
) -> list[Done]:
    """Run a script to its end, in one process or in the several of a launcher.

    Args:
        path: The script.
        args: Its arguments.
        cwd: Its folder.
        out: Beginning of the names of the files that take its output.
        processes: With several, the arguments must say ``--launcher pytorch``.
        env: Variables beside those of this process.
    """
    env = {**os.environ, 'OMP_NUM_THREADS': '1', **env}
    ranks = [{}]
    if processes > 1:
        common = dict(WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
        ranks = [dict(common, RANK=str(i), LOCAL_RANK=str(i)) for i in range(processes)]
    args = [str(arg) for arg in args]
    started = []
    for i, rank in enumerate(ranks):
        file = Path(f'{out}.{i}')
        started.append((start(as_script, path, args, cwd, {**env, **rank}, file), file))
    return [finish(process, file) for process, file in started]


def finish(process: BaseProcess, out: Path, timeout: float = 300) -> Done:
    """Wait for a process of :func:`as_script`."""
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
    return Done(process.exitcode, *(Path(f'{out}.{s}').read_text() for s in ('stdout', 'stderr')))


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return str(sock.getsockname()[1])


def give_memory_back() -> None:
    """Free blocks go back to the system: workers that have held large networks stay small."""
    if sys.platform == 'linux' and (trim := getattr(ctypes.CDLL(None), 'malloc_trim', None)):
        trim(0)
