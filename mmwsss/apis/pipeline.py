"""Stages of a method, run in order: what is finished is skipped, what was interrupted goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from prettytable import PrettyTable

from ..datasets.class_names import foreground_names
from ..datasets.converters.common import read_ids
from ..ops.dense_crf import crf_parameters
from ..utils.io import atomic_write
from .crf_folder import LowHighFromCAMs, MasksFromCAMs, MasksFromMasks, crf_folder
from .eval_folder import PredictionFolder, eval_folder
from .launch import load_config

DEFAULT_ROOT = 'work_dirs'
_CRF_KINDS = {'power', 'background', 'low_high', 'gt_prob'}
_KEYS = {
    'train': ({'config'}, {'options'}),
    'predict': ({'config'}, {'checkpoint', 'options'}),
    'test': ({'config', 'checkpoint'}, {'crf', 'tta', 'options'}),
    'dense_crf': ({'source', 'images', 'out'}, {'preset', 'confidence', 'image', *_CRF_KINDS}),
    'evaluate': ({'predictions', 'truth', 'split', 'classes'}, {'background'}),
}


@dataclass(frozen=True)
class Launch:
    """How the processes of a stage are started.

    Attributes:
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'`` (srun).
        processes: Processes (GPUs) with a launcher.
        tools: Folder of train.py and test.py.
    """

    launcher: str = 'none'
    processes: int = 1
    tools: Path = Path('tools')

    def command(self, script: str, *args: str) -> list[str]:
        """Command line of a tool."""
        path = str(self.tools / script)
        if self.launcher == 'none':
            return [sys.executable, path, *args]
        args = (*args, '--launcher', self.launcher)
        if self.launcher == 'slurm':
            return ['srun', f'--ntasks={self.processes}', sys.executable, path, *args]
        run = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
        return [*run, f'--nproc_per_node={self.processes}', path, *args]


class Pipeline:
    """The stages of a config in ``configs/pipelines``.

    A stage is a dict with ``name`` and ``run``:

    - ``train``: train ``config``.
    - ``predict``: write what the test evaluators of ``config`` write, with the weights of the stage
      ``checkpoint`` (without it, as built); images that are done are skipped.
    - ``test``: metrics of ``config`` with the weights of the stage ``checkpoint``; ``crf`` (a
      preset) and ``tta`` as in test.py.
    - ``dense_crf``: ``source`` and ``images`` -> ``out``, with ``preset`` and one of ``power``,
      ``background`` (both may have ``confidence`` and ``image``), ``low_high`` and ``gt_prob``
      (:mod:`mmwsss.apis.crf_folder`).
    - ``evaluate``: judge the folder ``predictions`` against the masks ``truth`` of a ``split``.

    Stages with a config may have ``options``, values to change in it, keys with dots.
    Paths that begin with ``work_dirs/``, in the stages and in their configs, lie in ``root``.

    Args:
        path: The pipeline's config.
        root: Folder of everything that is written.
        cfg_options: Values to change in the config of every stage.
        launch: How processes are started.

    Raises:
        FileNotFoundError: A config is missing.
        ValueError: A stage is not as described above.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        root: str | os.PathLike = DEFAULT_ROOT,
        cfg_options: dict | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.path, self.root = Path(path), Path(root)
        self.cfg_options = cfg_options or {}
        self.launch = launch or Launch()
        if not self.path.is_file():
            raise FileNotFoundError(f'Pipeline {path} does not exist (folder: {Path.cwd()}).')
        stages = Config.fromfile(self.path).get('stages')
        if not stages:
            raise ValueError(f'{path} has no list of stages')
        self.stages = [self._moved(dict(stage)) for stage in stages]
        self.records = self.root / self.path.stem
        self._check()

    def run(self) -> dict[str, dict]:
        """Run what is not finished; the record (metrics, seconds) of every stage.

        Raises:
            RuntimeError: A stage fails, another run is active in the folder, or a stage was
                finished with other settings.
        """
        self.records.mkdir(parents=True, exist_ok=True)
        with _only_one(self.records / '.lock'):
            results, fingerprint = {}, ''
            for number, stage in enumerate(self.stages, 1):
                title = f'[{number}/{len(self.stages)}] {stage["name"]}'
                fingerprint = self._fingerprint(stage, fingerprint)
                record = self._finished(stage, fingerprint)
                print(f'{title}: {"finished before" if record else stage["run"]}', flush=True)
                if record is None:
                    record = self._run_stage(stage, fingerprint)
                results[stage['name']] = record
        self._report(results)
        return results

    # stages

    def _run_stage(self, stage: dict, fingerprint: str) -> dict:
        start = time.time()
        runs: dict[str, Callable[[dict], dict]] = {
            'train': self._train,
            'predict': self._predict,
            'test': self._test,
            'dense_crf': self._dense_crf,
            'evaluate': self._evaluate,
        }
        metrics = runs[stage['run']](stage)
        seconds = round(time.time() - start, 1)
        record = dict(fingerprint=fingerprint, seconds=seconds, metrics=metrics)
        with atomic_write(self._record_path(stage)) as tmp:
            tmp.write_text(json.dumps(record, indent=2))
        return record

    def _train(self, stage: dict) -> dict:
        cfg = self._config(stage)
        self._tool(stage, 'train.py', self._dump(cfg, stage), '--resume')
        return {}

    def _predict(self, stage: dict) -> dict:
        cfg = self._config(stage)
        writers = [e for e in _as_list(cfg.test_evaluator) if e.type.endswith('Writer')]
        if len(writers) != 1:
            raise ValueError(
                f'stage {stage["name"]}: test_evaluator of {stage["config"]} must hold one writer, '
                f'not {len(writers)}'
            )
        cfg.test_evaluator = writers
        cfg.test_dataloader.dataset.skip_dir = writers[0].output_dir
        weights = self._weights(stage['checkpoint']) if 'checkpoint' in stage else 'none'
        self._tool(stage, 'test.py', self._dump(cfg, stage), weights)
        return {}

    def _test(self, stage: dict) -> dict:
        cfg = self._config(stage)
        metrics = (
            cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        )
        for metric in metrics:
            if metric.type.endswith('WSSSIoUMetric'):
                metric.classwise = True
        path = self.records / f'{stage["name"]}_metrics.json'
        options = ['--metrics', str(path)]
        options += ['--crf', stage['crf']] if stage.get('crf') else []
        options += ['--tta'] if stage.get('tta') else []
        self._tool(
            stage, 'test.py', self._dump(cfg, stage), self._weights(stage['checkpoint']), *options
        )
        return json.loads(path.read_text())

    def _dense_crf(self, stage: dict) -> dict:
        crf = dict(preset=stage.get('preset', 'psa'))
        if 'low_high' in stage:
            work = LowHighFromCAMs(*stage['low_high'], crf)
        elif 'gt_prob' in stage:
            work = MasksFromMasks(stage['gt_prob'], crf)
        else:
            work = MasksFromCAMs(
                stage.get('power', 1.0),
                stage.get('background'),
                stage.get('confidence'),
                stage.get('image', 'true'),
                crf,
            )
        crf_folder(work, stage['source'], stage['images'], stage['out'])
        print()
        return {}

    def _evaluate(self, stage: dict) -> dict:
        classes = ['background', *foreground_names(stage['classes'])]
        folder = PredictionFolder(
            stage['predictions'], stage['truth'], read_ids(stage['split']), len(classes)
        )
        background = [stage.get('background', 'range:0:1:0.01')]
        out = self.records / f'eval_{stage["name"]}'
        return eval_folder(folder, classes, background, output_dir=out, tags=dict(stage))

    # helpers

    def _config(self, stage: dict) -> Config:
        path = self.path.parent / stage['config']
        cfg = load_config(path, stage.get('options'), self.root / path.stem)
        moved = self._moved(cfg.to_dict())
        moved['work_dir'] = cfg.work_dir
        cfg = Config(moved, filename=str(path))
        cfg.merge_from_dict(self.cfg_options)
        return cfg

    def _moved(self, value):
        """Replace the default root in every path."""
        if isinstance(value, dict):
            return {k: self._moved(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._moved(v) for v in value)
        if isinstance(value, str) and value.startswith(f'{DEFAULT_ROOT}/'):
            return str(self.root / value[len(DEFAULT_ROOT) + 1 :])
        return value

    def _dump(self, cfg: Config, stage: dict) -> str:
        path = self.records / f'{stage["name"]}.py'
        with atomic_write(path) as tmp:
            cfg.dump(tmp)
        return str(path)

    def _tool(self, stage: dict, script: str, config: str, *args: str) -> None:
        work_dir = str(self.root / Path(stage['config']).stem)
        command = self.launch.command(script, config, *args, '--work-dir', work_dir)
        code = subprocess.run(command, preexec_fn=_die_with_parent).returncode
        if code:
            raise RuntimeError(
                f'stage {stage["name"]} failed with exit code {code}: {" ".join(command)}. '
                'Its log is above; run the pipeline again to go on from here.'
            )

    def _weights(self, name: str) -> str:
        """Newest checkpoint of a training stage."""
        trained = next(s for s in self.stages if s['name'] == name)
        folder = self.root / Path(trained['config']).stem
        checkpoint = find_latest_checkpoint(str(folder))
        if checkpoint is None:
            raise RuntimeError(f'stage {trained["name"]} has left no checkpoint in {folder}')
        return str(folder / Path(checkpoint).name)

    def _record_path(self, stage: dict) -> Path:
        return self.records / f'{stage["name"]}.json'

    def _fingerprint(self, stage: dict, before: str) -> str:
        """Digest of a stage, its config, and everything before it."""
        config = self._config(stage).pretty_text if 'config' in stage else ''
        text = json.dumps([before, stage, config], sort_keys=True, default=str)
        return hashlib.sha1(text.encode()).hexdigest()

    def _finished(self, stage: dict, fingerprint: str) -> dict | None:
        path = self._record_path(stage)
        if not path.is_file():
            return None
        record = json.loads(path.read_text())
        if record['fingerprint'] != fingerprint:
            raise RuntimeError(
                f'stage {stage["name"]} was finished with other settings ({path}). Use another '
                '--work-dir, or remove that file and what the stage and those after it wrote.'
            )
        return record

    def _check(self) -> None:
        names: dict[str, str] = {}
        for stage in self.stages:
            name, run = stage.get('name'), stage.get('run')
            if not name or name in names or run not in _KEYS:
                raise ValueError(
                    f'{self.path}: every stage needs a name of its own and run= one of '
                    f'{", ".join(_KEYS)}; got {stage}'
                )
            needed, optional = _KEYS[run]
            given = set(stage) - {'name', 'run'}
            if needed - given or given - needed - optional:
                raise ValueError(
                    f'{self.path}: stage {name} ({run}) needs {sorted(needed)} and may have '
                    f'{sorted(optional)}; got {sorted(given)}'
                )
            if run == 'dense_crf' and len(given & _CRF_KINDS) != 1:
                raise ValueError(f'{self.path}: stage {name} needs one of {sorted(_CRF_KINDS)}')
            if 'checkpoint' in stage and names.get(stage['checkpoint']) != 'train':
                raise ValueError(
                    f'{self.path}: checkpoint of stage {name} must name a training stage before it'
                )
            if 'config' in stage and not (self.path.parent / stage['config']).is_file():
                raise FileNotFoundError(f'{self.path}: stage {name}: no config {stage["config"]}')
            for preset in {stage.get('preset'), stage.get('crf')} - {None}:
                crf_parameters(preset)
            names[name] = run

    def _report(self, results: dict[str, dict]) -> None:
        """Print the scores of all stages and write them as JSON."""
        scored = {name: r['metrics'] for name, r in results.items() if 'mIoU' in r['metrics']}
        with atomic_write(self.records / 'report.json') as tmp:
            tmp.write_text(json.dumps(results, indent=2))
        if not scored:
            return
        table = PrettyTable(['', *scored])
        table.add_row(['mIoU', *(f'{m["mIoU"]:.2f}' for m in scored.values())], divider=True)
        keys = [k for k in next(iter(scored.values())) if k.startswith('IoU/')]
        for key in keys:
            values = (f'{m[key]:.2f}' if key in m else '' for m in scored.values())
            table.add_row([key.removeprefix('IoU/'), *values])
        seconds = sum(r['seconds'] for r in results.values())
        print(f'{self.path.stem}, {seconds / 60:.1f} minutes:\n{table}', flush=True)


def _as_list(evaluators: dict | list[dict]) -> list[dict]:
    return evaluators if isinstance(evaluators, list) else [evaluators]


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, however it ends."""
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f'another run of this pipeline is active in {path.parent}') from None
        yield


def _die_with_parent() -> None:  # pragma: no cover - runs in the child
    """Let the kernel (Linux) end a stage whose pipeline was killed."""
    if sys.platform == 'linux':
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
