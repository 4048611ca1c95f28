"""Starting work: reading a config, preparing its run, and the processes of a launcher."""

import ctypes
import datetime
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner

from ..engine.runner import StrictRunner
from ..registry import RUNNERS
from ..utils.checks import check_choice, check_output_folder, check_range
from ..utils.io import atomic_write
from ..utils.parallel import die_with_parent
from ..utils.text import read_config
from .options import merge_options

_TORCHRUN_VARIABLES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')
_RANK_VARIABLES = {
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
}


@dataclass(frozen=True)
class Launch:
    """How the processes of a stage are started.

    Attributes:
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'`` (srun).
        processes: Processes (GPUs) with a launcher.
        tools: Folder of train.py and test.py.

    Raises:
        ValueError: Another launcher, or no process.
    """

    launcher: str = 'none'
    processes: int = 1
    tools: Path = Path('tools')

    def __post_init__(self) -> None:
        check_choice('launcher', self.launcher, ('none', 'pytorch', 'slurm'))
        check_range('processes', self.processes, 1, integer=True)

    def command(self, script: str, *args: str) -> list[str]:
        """Command line of a tool."""
        path = str(self.tools / script)
        if self.launcher == 'none':
            return [sys.executable, path, *args]
        args = (*args, '--launcher', self.launcher)
        if self.launcher == 'slurm':
            # Without the word, the others wait for a process that has died.
            srun = ['srun', f'--ntasks={self.processes}', '--kill-on-bad-exit=1']
            return [*srun, sys.executable, path, *args]
        run = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
        return [*run, f'--nproc_per_node={self.processes}', path, *args]

    def run(self, what: str, script: str, cfg: Config, path: Path, *args: str) -> None:
        """Run a tool on a config.

        Args:
            what: Is done by it, for messages.
            script: ``'train.py'`` or ``'test.py'``.
            cfg: The config.
            path: Where it is written for the tool.
            args: Further arguments.

        Raises:
            RuntimeError: The tool fails.
        """
        with atomic_write(path) as tmp:
            cfg.dump(tmp)
        command = self.command(script, str(path), *args)
        code = subprocess.run(command, preexec_fn=end_with_parent()).returncode
        if code:
            raise RuntimeError(
                f'{what} failed with exit code {code}: {" ".join(command)}. Its log is above; run '
                'the same again to go on from here.'
            )


def load_config(
    path: str | os.PathLike,
    cfg_options: dict | None = None,
    work_dir: str | os.PathLike | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config file and merge what the command line says into it.

    Args:
        path: The config file.
        cfg_options: Values to change, keys with dots (``{'train_cfg.max_iters': 10}``).
        work_dir: Folder of logs and checkpoints; otherwise ``work_dir`` of the config, otherwise
            ``work_dirs/<name of the config>``.
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.

    Raises:
        FileNotFoundError: No such config.
        ValueError: An option that would change nothing (:func:`merge_options`).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Config {path} does not exist (current folder: {Path.cwd()}).')
    cfg = read_config(path)
    merge_options(cfg, cfg_options or {})
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', path.stem)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, after what mmengine leaves to the caller."""
    check_output_folder(cfg.work_dir)
    if cfg.get('launcher') == 'pytorch':
        die_with_parent(os.getppid())  # torchrun, if killed, leaves its processes behind
    if cfg.get('launcher', 'none') != 'none' and get_device() == 'cpu':
        _init_cpu_model(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else StrictRunner.from_cfg(cfg)


def _init_cpu_model(cfg: Config) -> None:
    """Prepare a run of several processes on a machine without accelerator.

    mmengine binds every process to a CUDA device and wraps the model for it, which fails here.
    """
    dist_cfg = cfg.get('env_cfg', {}).get('dist_cfg', {})
    init_cpu_processes(cfg.launcher, dist_cfg.get('timeout', 1800))
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = {**wrapper, **cfg.get('model_wrapper_cfg', {}), 'device_ids': None}


def init_cpu_processes(launcher: str, timeout: int = 1800) -> None:
    """Join the processes of a launcher, for work on the CPU.

    Args:
        launcher: ``pytorch``, ``slurm`` or ``mpi``.
        timeout: Seconds that a process waits for the others.
    """
    env = os.environ
    if launcher in _RANK_VARIABLES:
        for name, source in zip(_TORCHRUN_VARIABLES, _RANK_VARIABLES[launcher], strict=True):
            env[name] = env[source]
        env.setdefault('MASTER_PORT', '29500')
    if launcher == 'slurm' and 'MASTER_ADDR' not in env:
        command = ['scontrol', 'show', 'hostnames', env['SLURM_NODELIST']]
        env['MASTER_ADDR'] = subprocess.check_output(command, text=True).split()[0]
    torch.distributed.init_process_group('gloo', timeout=datetime.timedelta(seconds=timeout))


def end_with_parent() -> Callable[[], None] | None:
    """For the child: let the kernel (Linux) end a stage whose pipeline was killed."""
    if sys.platform != 'linux':
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended in between
            os._exit(1)

    return bind
