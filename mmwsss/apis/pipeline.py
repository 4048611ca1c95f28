"""Stages of a method, run in order: what is finished is skipped, what was interrupted goes on."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from prettytable import PrettyTable

from ..datasets.class_names import foreground_names
from ..datasets.converters.common import read_ids
from ..datasets.inputs import (
    base_datasets,
    build_dataset,
    data_folders,
    dataset_inputs,
    split_lines,
)
from ..evaluation import WSSSIoUMetric
from ..ops.dense_crf import crf_parameters
from ..registry import METRICS
from ..utils.checks import check_choice, check_range, some
from ..utils.io import atomic_write, is_whole, list_files
from ..utils.provenance import RECORD, claim, compare_settings, digest_stamps
from ..utils.text import read_json
from .crf_folder import FolderCRF, LowHighFromCAMs, MasksFromCAMs, MasksFromMasks, crf_folder
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
            return ['srun', f'--ntasks={self.processes}', sys.executable, path, *args]
        run = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
        return [*run, f'--nproc_per_node={self.processes}', path, *args]


class Pipeline:
    """The stages of a config in ``configs/pipelines``.

    A stage is a dict with ``name`` and ``run``:

    - ``train``: train ``config``; checkpoints lie in ``<root>/<pipeline>/<name>``.
    - ``predict``: write what the writers among the test evaluators of ``config`` write, with the
      weights of the stage ``checkpoint`` (without it, as built); images that are done are skipped.
    - ``test``: metrics of ``config`` with the weights of the stage ``checkpoint``; ``crf`` (a
      preset) and ``tta`` as in test.py.
    - ``dense_crf``: ``source`` and ``images`` -> ``out``, with ``preset`` and one of ``power``,
      ``background`` (both may have ``confidence`` and ``image``), ``low_high`` and ``gt_prob``
      (:mod:`mmwsss.apis.crf_folder`).
    - ``evaluate``: judge the folder ``predictions`` against the masks ``truth`` of a ``split``.

    Stages with a config may have ``options``, values to change in it, keys with dots.
    Paths that begin with ``work_dirs/``, in the stages and in their configs, lie in ``root``.

    Before a stage begins, its record ``<root>/<pipeline>/<name>.json`` holds all that it depends
    on: its settings, those of the stages before it, and the files it reads. A stage that was begun
    with something else is not continued.

    Args:
        path: The pipeline's config.
        root: Folder of everything that is written.
        cfg_options: Values to change in the config of every stage.
        launch: How processes are started.
        restart: Throw away what stages have made with other settings or files, and do them anew.

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
        restart: bool = False,
    ) -> None:
        self.path, self.root = Path(path), Path(root)
        self.cfg_options = cfg_options or {}
        self.launch = launch or Launch()
        self.restart = restart
        self._configs: dict[str, Config] = {}
        if not self.path.is_file():
            raise FileNotFoundError(f'Pipeline {path} does not exist (folder: {Path.cwd()}).')
        stages = Config.fromfile(self.path).get('stages')
        if not stages:
            raise ValueError(f'{path} has no list of stages')
        self.stages = [self._moved(dict(stage)) for stage in stages]
        self.records = self.root / self.path.stem
        self._check_stages()

    def run(self) -> dict[str, dict]:
        """Run what is not finished; the record (metrics, seconds) of every stage.

        Raises:
            FileNotFoundError: Data of some stage are missing; raised before the first one.
            RuntimeError: A stage fails, another run is active in the folder, or a stage was
                begun with other settings or files.
        """
        self.records.mkdir(parents=True, exist_ok=True)
        with _only_one(self.records / '.lock'):
            self._check_data()
            results, before = {}, ''
            for number, stage in enumerate(self.stages, 1):
                title = f'[{number}/{len(self.stages)}] {stage["name"]}'
                depends = self._depends(stage, before)
                before = _digest(depends)
                record = self._finished(stage, depends)
                print(f'{title}: {"finished before" if record else stage["run"]}', flush=True)
                if record is None:
                    record = self._run_stage(stage, depends)
                results[stage['name']] = record
                self._write_json('report', results)
        self._print_scores(results)
        return results

    # stages

    def _run_stage(self, stage: dict, depends: dict) -> dict:
        self._write_json(stage['name'], dict(depends=depends))
        start = time.time()
        runs: dict[str, Callable[[dict, str], dict]] = {
            'train': self._train,
            'predict': self._predict,
            'test': self._test,
            'dense_crf': self._dense_crf,
            'evaluate': self._evaluate,
        }
        metrics = runs[stage['run']](stage, _digest(depends))
        record = dict(depends=depends, seconds=round(time.time() - start, 1), metrics=metrics)
        self._write_json(stage['name'], record)
        return record

    def _train(self, stage: dict, digest: str) -> dict:
        self._tool(stage, 'train.py', self._dump(self._config(stage), stage), '--resume')
        return {}

    def _predict(self, stage: dict, digest: str) -> dict:
        cfg = self._config(stage)
        dataset = build_dataset(cfg.test_dataloader.dataset)
        lines = split_lines(dataset)
        left = set()
        for folder, suffix in self._outputs(stage).items():
            images = {key: [path] for key, (path, _) in lines.items()}
            left |= set(images) - claim(folder, suffix, {'stage': digest}, images, self.restart)
        if left:
            split = self.records / f'{stage["name"]}_left.txt'
            with atomic_write(split) as tmp:
                tmp.write_text(''.join(f'{lines[key][1]}\n' for key in lines if key in left))
            cfg.test_dataloader.dataset.update(ann_file=str(split.resolve()), indices=None)
            cfg.test_evaluator = [e for e in _as_list(cfg.test_evaluator) if _is_writer(e)]
            for writer in cfg.test_evaluator:
                writer.claimed = True
            weights = self._weights(stage['checkpoint']) if 'checkpoint' in stage else 'none'
            self._tool(stage, 'test.py', self._dump(cfg, stage), weights)
        self._check_complete(stage, list(lines))
        return {}

    def _check_complete(self, stage: dict, ids: list[str]) -> None:
        for folder, suffix in self._outputs(stage).items():
            files = list_files(folder, suffix)
            missing = [key for key in ids if key not in files or not is_whole(files[key])]
            if missing:
                raise RuntimeError(
                    f'stage {stage["name"]} has left no {suffix} file in {folder} for '
                    f'{len(missing)} of {len(ids)} images: {some(missing)}. Run the pipeline again.'
                )

    def _test(self, stage: dict, digest: str) -> dict:
        cfg = self._config(stage)
        for metric in _as_list(cfg.test_evaluator):
            if metric.type.endswith('WSSSIoUMetric'):
                metric.classwise = True
        path = self.records / f'{stage["name"]}_metrics.json'
        options = ['--metrics', str(path)]
        options += ['--crf', stage['crf']] if stage.get('crf') else []
        options += ['--tta'] if stage.get('tta') else []
        self._tool(
            stage, 'test.py', self._dump(cfg, stage), self._weights(stage['checkpoint']), *options
        )
        return read_json(path)

    def _dense_crf(self, stage: dict, digest: str) -> dict:
        work = _crf_work(stage)
        crf_folder(work, stage['source'], stage['images'], stage['out'], restart=self.restart)
        print()
        return {}

    def _evaluate(self, stage: dict, digest: str) -> dict:
        classes = ['background', *foreground_names(stage['classes'])]
        folder = PredictionFolder(
            stage['predictions'], stage['truth'], read_ids(stage['split']), len(classes)
        )
        background = [stage.get('background', _BACKGROUNDS)]
        out = self.records / f'eval_{stage["name"]}'
        return eval_folder(folder, classes, background, output_dir=out, tags=dict(stage))

    # what a stage depends on

    def _depends(self, stage: dict, before: str) -> dict:
        """Everything that the outcome of a stage depends on, as JSON."""
        depends = dict(before=before, stage=stage, files=self._files(stage))
        if 'config' in stage:
            depends['config'] = self._config(stage).to_dict()
            depends['config'].pop('work_dir', None)
        return json.loads(json.dumps(depends, default=str))

    def _files(self, stage: dict) -> dict[str, str]:
        """Digests of the files that a stage reads."""
        if 'config' in stage:
            loader = 'train_dataloader' if stage['run'] == 'train' else 'test_dataloader'
            dataset = self._config(stage)[loader]['dataset']
            return dataset_inputs(build_dataset(dataset, keep_pipeline=True))
        folders = ('source', 'images') if stage['run'] == 'dense_crf' else ('predictions', 'truth')
        files = {name: digest_stamps(_visible(stage[name])) for name in folders}
        if 'split' in stage:
            files['split'] = digest_stamps([stage['split']])
        return files

    def _finished(self, stage: dict, depends: dict) -> dict | None:
        """The record of a finished stage; None if it is to be run."""
        path = self._record_path(stage['name'])
        if not path.is_file():
            return None
        record = read_json(path)
        changes = compare_settings(record.get('depends', {}), depends)
        if not changes:
            return record if 'metrics' in record else None
        if not self.restart:
            named = [c for c in changes if not c.startswith('before:')]
            what = some(named) if named else 'a stage before it has changed'
            raise RuntimeError(
                f'stage {stage["name"]} was begun with other settings or files ({path}): {what}. '
                'Use another --work-dir, or say --restart to do this stage and those after it '
                'anew.'
            )
        print(f'stage {stage["name"]} is done anew: {some(changes)}', flush=True)
        path.unlink()
        shutil.rmtree(self._work_dir(stage), ignore_errors=True)
        return None

    # helpers

    def _config(self, stage: dict) -> Config:
        """The config of a stage; a copy, which may be changed."""
        if stage['name'] not in self._configs:
            self._configs[stage['name']] = self._load_config(stage)
        return deepcopy(self._configs[stage['name']])

    def _load_config(self, stage: dict) -> Config:
        path = self.path.parent / stage['config']
        cfg = load_config(path, stage.get('options'), self._work_dir(stage))
        moved = self._moved(cfg.to_dict())
        moved['work_dir'] = cfg.work_dir
        cfg = Config(moved, filename=str(path))
        cfg.merge_from_dict(self.cfg_options)
        return cfg

    def _moved(self, value: Any) -> Any:
        """Replace the default root in every path."""
        if isinstance(value, dict):
            return {k: self._moved(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._moved(v) for v in value)
        if isinstance(value, str) and value.startswith(f'{DEFAULT_ROOT}/'):
            return str(self.root / value[len(DEFAULT_ROOT) + 1 :])
        return value

    def _work_dir(self, stage: dict) -> Path:
        """Folder of a stage's logs and checkpoints."""
        return self.records / stage['name']

    def _outputs(self, stage: dict) -> dict[str, str]:
        """``{folder: suffix}`` of what a stage writes for every image."""
        if stage['run'] == 'dense_crf':
            return {stage['out']: _crf_work(stage).target_suffix}
        if stage['run'] != 'predict':
            return {}
        writers = [e for e in _as_list(self._config(stage).test_evaluator) if _is_writer(e)]
        if not writers:
            raise ValueError(
                f'stage {stage["name"]}: test_evaluator of {stage["config"]} holds no writer '
                '(mmwsss.CAMStoreWriter, mmwsss.PseudoMaskWriter), so there is nothing to predict'
            )
        return {writer['output_dir']: METRICS.get(writer['type']).extension for writer in writers}

    def _dump(self, cfg: Config, stage: dict) -> str:
        path = self.records / f'{stage["name"]}.py'
        with atomic_write(path) as tmp:
            cfg.dump(tmp)
        return str(path)

    def _tool(self, stage: dict, script: str, config: str, *args: str) -> None:
        work_dir = str(self._work_dir(stage))
        command = self.launch.command(script, config, *args, '--work-dir', work_dir)
        code = subprocess.run(command, preexec_fn=_end_with_parent()).returncode
        if code:
            raise RuntimeError(
                f'stage {stage["name"]} failed with exit code {code}: {" ".join(command)}. '
                'Its log is above; run the pipeline again to go on from here.'
            )

    def _weights(self, name: str) -> str:
        """Newest checkpoint of a training stage."""
        folder = self.records / name
        checkpoint = find_latest_checkpoint(str(folder))
        if checkpoint is None:
            raise RuntimeError(f'stage {name} has left no checkpoint in {folder}')
        return str(folder / Path(checkpoint).name)

    def _record_path(self, name: str) -> Path:
        return self.records / f'{name}.json'

    def _write_json(self, name: str, content: dict) -> None:
        with atomic_write(self._record_path(name)) as tmp:
            tmp.write_text(json.dumps(content, indent=2), encoding='utf-8')

    # checks

    def _check_stages(self) -> None:
        names: dict[str, str] = {'report': ''}
        for stage in self.stages:
            name, run = stage.get('name'), stage.get('run')
            if not name or name in names or run not in _KEYS:
                raise ValueError(
                    f'{self.path}: every stage needs a name of its own (not report) and run= one '
                    f'of {", ".join(_KEYS)}; got {stage}'
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
            try:
                _check_values(stage)
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f'{self.path}: stage {name}: {error}') from error
            names[name] = run

    def _check_data(self) -> None:
        """What a stage reads is there or is made before; no two write to one place.

        Raises:
            FileNotFoundError: Something is missing.
            ValueError: Two stages, or a stage and the data, share a folder.
        """
        made: dict[str, str] = {}
        for stage in self.stages:
            where = f'{self.path}: stage {stage["name"]}'
            try:
                read = self._read_folders(stage, made)
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f'{where}: {error}') from error
            for folder in self._outputs(stage):
                place = os.path.realpath(folder)
                if place in made:
                    raise ValueError(f'{where} writes to {folder}, as stage {made[place]} does')
                if place in {os.path.realpath(path) for path in read}:
                    raise ValueError(f'{where} writes to {folder}, which it also reads')
                made[place] = stage['name']

    def _read_folders(self, stage: dict, made: dict[str, str]) -> list[str]:
        """Folders that a stage reads; those that no earlier stage makes must be there."""
        if 'config' in stage:
            cfg, folders = self._config(stage), []
            kinds = ('train', 'val') if stage['run'] == 'train' else ('test',)
            for kind in kinds:
                if loader := cfg.get(f'{kind}_dataloader'):
                    dataset = build_dataset(loader['dataset'], made)
                    folders += [f for base in base_datasets(dataset) for f in data_folders(base)]
            return folders
        names = ('source', 'images') if stage['run'] == 'dense_crf' else ('predictions', 'truth')
        folders = [stage[name] for name in names]
        for name, folder in zip(names, folders, strict=True):
            if os.path.realpath(folder) not in made and not os.path.isdir(folder):
                raise FileNotFoundError(
                    f'the folder {folder} ({name}) does not exist, and no stage before makes it'
                )
        if 'split' in stage:
            ids = read_ids(stage['split'])
            truths = list_files(stage['truth'], '.png')
            missing = [key for key in ids if key not in truths]
            if missing:
                raise FileNotFoundError(
                    f'{stage["truth"]} has no mask for {len(missing)} of {len(ids)} images of '
                    f'{stage["split"]}: {some(missing)}'
                )
        return folders

    def _print_scores(self, results: dict[str, dict]) -> None:
        scored = {name: r['metrics'] for name, r in results.items() if 'mIoU' in r['metrics']}
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


_BACKGROUNDS = 'range:0:1:0.01'


def _crf_work(stage: dict) -> FolderCRF:
    """What a ``dense_crf`` stage does with an image; raises ValueError for values out of range."""
    crf = dict(preset=stage.get('preset', 'psa'))
    if 'low_high' in stage:
        return LowHighFromCAMs(*stage['low_high'], crf)
    if 'gt_prob' in stage:
        return MasksFromMasks(stage['gt_prob'], crf)
    return MasksFromCAMs(
        stage.get('power', 1.0),
        stage.get('background'),
        stage.get('confidence'),
        stage.get('image', 'true'),
        crf,
    )


def _check_values(stage: dict) -> None:
    """Raise ValueError or FileNotFoundError for values of a stage that cannot work."""
    if stage['run'] == 'dense_crf':
        _crf_work(stage)
    if stage['run'] == 'evaluate':
        foreground_names(stage['classes'])
        WSSSIoUMetric(background_thresholds=stage.get('background', _BACKGROUNDS))
    if stage.get('crf') is not None:
        crf_parameters(stage['crf'])


def _visible(folder: str | os.PathLike) -> list[str]:
    """Files of a folder, sorted, without hidden ones and the record of their origin."""
    with os.scandir(folder) as entries:
        return sorted(
            e.path for e in entries if e.is_file() and e.name[0] != '.' and e.name != RECORD
        )


def _digest(depends: dict) -> str:
    return hashlib.sha1(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def _is_writer(evaluator: dict) -> bool:
    return hasattr(METRICS.get(evaluator['type']), 'extension')


def _as_list(evaluators: dict | list[dict]) -> list[dict]:
    return evaluators if isinstance(evaluators, list) else [evaluators]


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, however it ends."""
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise RuntimeError(f'another run of this pipeline is active in {path.parent}') from None


def _end_with_parent() -> Callable[[], None] | None:
    """For the child: let the kernel (Linux) end a stage whose pipeline was killed."""
    if sys.platform != 'linux':
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)
