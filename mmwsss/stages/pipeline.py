"""Stages of a method, run in order: what is finished is skipped, what was interrupted goes on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prettytable import PrettyTable

from ..utils.checks import check_choice, check_output_folder, some
from ..utils.io import write_json
from ..utils.provenance import as_json, compare_settings, only_one
from ..utils.text import read_config, read_json
from .chain import chained, start_from, up_to
from .config_stages import TrainStage
from .folder_stages import BEST_OF
from .launch import Launch
from .stage import DEFAULT_ROOT, STAGES, Context, Stage


class Pipeline:
    """The stages of a config in ``configs/pipelines``.

    ``stages`` is a list of dicts, or a dict ``{name: stage}``, which a config that inherits can
    change (None leaves a stage out). A stage has a ``name`` of its own and ``run``, its kind:

    - ``train``: train ``config``; checkpoints lie in ``<root>/<pipeline>/<name>``.
    - ``test``: metrics of ``config`` with the weights of the stage ``checkpoint``, its last or best
      (``which``); ``crf`` (a preset) and ``tta`` as in test.py.
    - ``predict``: write maps and masks of ``config`` for a ``split`` with the weights of the stage
      ``checkpoint`` (without it, as built); images that are done are skipped. ``write`` says what
      and where, ``predict``, ``which``, ``crf`` and ``tta`` how.
    - ``folder``: ``task``, a folder task (:mod:`mmwsss.stages.folder`), on ``source`` and
      ``images`` -> ``out``, for the split list ``ids`` by so many ``processes``; ``dense_crf`` is
      the same with the words of tools/dense_crf.py (``preset`` and one of ``power``,
      ``background``, ``low_high`` and ``gt_prob``).
    - ``evaluate``: judge the folder ``predictions`` against the masks ``truth`` of a ``split``, by
      a ``convention``.
    - ``repeat``: ``stages``, done ``times`` times; ``{round}`` and ``{before}`` in their texts
      become the number of the round (from 1) and of the one before.

    Stages with a config may have ``options``, values to change in it, keys with dots. Without
    ``config``, stages with a ``checkpoint`` take config and options of that training stage.
    ``after`` is the name of a pipeline whose stages come before these
    (:func:`mmwsss.stages.chain.chained`); ``mask_dir`` says where it leaves the masks that these
    start from, ``{mask_dir}`` in a text.
    ``{pipeline}`` in a text becomes the name of the pipeline's file without suffix. Paths that
    begin with ``work_dirs/``, in the stages and in their configs, lie in ``root``.

    Before a stage begins, its record ``<root>/<pipeline>/<name>.json`` holds all that it depends
    on: its settings, those of the stages before it, and the files it reads. A stage that was begun
    with something else is not continued.

    Args:
        path: The pipeline's config.
        root: Folder of everything that is written.
        cfg_options: Values to change in the config of every stage.
        launch: How processes are started.
        data_root: Takes the place of the pipeline's ``data_root`` in every path of the stages and
            their configs: for data that lie elsewhere.
        restart: Throw away what stages have made with other settings or files, and do them anew.
        mask_dir: Finished masks that the pipeline starts from, in place of its ``after``.
        until: The last stage that is done; None: all of them.

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
        data_root: str | os.PathLike | None = None,
        mask_dir: str | os.PathLike | None = None,
        until: str | None = None,
    ) -> None:
        self.path, self.root = Path(path), Path(root)
        if not self.path.is_file():
            raise FileNotFoundError(f'Pipeline {path} does not exist (folder: {Path.cwd()}).')
        config = read_config(self.path)
        if mask_dir is not None:
            start_from(config, self.path, os.path.abspath(mask_dir))
        if not config.get('stages'):
            raise ValueError(f'{path} has no list of stages')
        self.records = self.root / self.path.stem
        roots = {DEFAULT_ROOT: str(self.root)}
        if data_root is not None:
            if 'data_root' not in config:
                raise ValueError(f'{path} has no data_root that could lie elsewhere')
            roots[str(config.data_root)] = str(Path(data_root))
        self.context = Context(
            self.path, roots, self.records, cfg_options or {}, launch or Launch(), restart
        )
        self.stages: list[Stage] = []
        self._specs: dict[str, dict] = {}
        for spec in up_to(list(chained(config, self.path)), until, self.path):
            self._add(spec)

    def _add(self, spec: dict) -> None:
        name, run = spec.get('name'), spec.pop('run', None)
        plain = isinstance(name, str) and re.fullmatch(r'\w[\w-]*', name)
        # 'eval_NAME' is the folder of the stage NAME, and some disks do not tell case apart.
        others = [other.casefold() for other in self._kinds]
        taken = {'report', *others, *(f'eval_{other}' for other in others)}
        if not plain or {name.casefold(), f'eval_{name.casefold()}'} & taken:
            raise ValueError(
                f'{self.path}: every stage needs a name of its own (not report), of letters, '
                f'digits, - and _, which becomes the name of a file; got {name!r}'
            )
        with self._naming(name):
            check_choice('run', run, STAGES)
            if 'checkpoint' in spec:
                spec = self._of_training(spec)
            for key in ('background', 'power'):
                source = str(spec.get(key, ''))
                if source.startswith(BEST_OF):
                    judged = self._kinds.get(source.removeprefix(BEST_OF))
                    if judged != STAGES['evaluate']:
                        raise ValueError(f'{key}={source!r} must name an evaluate stage before it')
            self.stages.append(STAGES[run](spec, self.context))
            self._specs[name] = spec

    def _of_training(self, spec: dict) -> dict:
        """A stage with a checkpoint; what it does not say of its config is that of the training."""
        training = {stage.name: stage for stage in self.stages}.get(spec['checkpoint'])
        if not isinstance(training, TrainStage):
            raise ValueError('checkpoint must name a training stage before it')
        if spec.get('which') == 'best':
            training.check_best()
        if 'config' in spec:
            return spec
        trained = self._specs[training.name]
        options = {**trained.get('options', {}), **spec.get('options', {})}
        return dict(spec, config=trained['config'], options=options)

    @property
    def _kinds(self) -> dict[str, type[Stage]]:
        return {stage.name: type(stage) for stage in self.stages}

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Errors within say which stage of which pipeline they are about."""
        try:
            yield
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f'{self.path}: stage {name}: {error}') from error
        except (AttributeError, KeyError, SyntaxError, TypeError) as error:  # of a config
            reason = f'{type(error).__name__}: {error}'
            raise ValueError(f'{self.path}: stage {name}: {reason}') from error

    def run(self) -> dict[str, dict]:
        """Run what is not finished; the record (metrics, seconds) of every stage.

        Raises:
            FileNotFoundError: Data of some stage are missing; raised before the first one.
            OSError: Something cannot be written to; likewise.
            RuntimeError: A stage fails, another run is active in the folder, or a stage was
                begun with other settings or files.
        """
        check_output_folder(self.records)
        with only_one(self.records, 'this pipeline'):
            self._check_data()
            results, before = {}, ''
            # of the stages that this run has looked at
            write_json(self._record_path('report'), results)
            for number, stage in enumerate(self.stages, 1):
                title = f'[{number}/{len(self.stages)}] {stage.name}'
                with self._naming(stage.name):
                    depends = as_json(dict(stage.depends(), before=before))
                    record = self._finished(stage, depends)
                before = _digest(depends)
                kind = next(run for run, kind in STAGES.items() if kind is type(stage))
                print(f'{title}: {"finished before" if record else kind}', flush=True)
                if record is None:
                    record = self._run_stage(stage, depends)
                results[stage.name] = record
                write_json(self._record_path('report'), results)
        self._print_scores(results)
        return results

    def _check_data(self) -> None:
        """What a stage reads is there or is made before; no two write to one place.

        Raises:
            FileNotFoundError: Something is missing.
            OSError: A folder cannot be written to.
            ValueError: Two stages, a stage and the data, or files and logs share a folder.
        """
        made: dict[str, str] = {}
        used: dict[str, str] = {}
        logs = {os.path.realpath(stage.work_dir): stage.name for stage in self.stages}
        for stage in self.stages:
            with self._naming(stage.name):
                read = {os.path.realpath(path) for path in stage.reads(made)}
                for folder in stage.outputs():
                    place = os.path.realpath(folder)
                    if place in made:
                        raise ValueError(f'it writes to {folder}, as stage {made[place]} does')
                    for log in {place, *map(str, Path(place).parents)} & logs.keys():
                        raise ValueError(
                            f'it writes to {folder}, where logs and checkpoints of stage '
                            f'{logs[log]} lie'
                        )
                    if place in read:
                        raise ValueError(f'it writes to {folder}, which it also reads')
                    if place in used:
                        raise ValueError(
                            f'it writes to {folder}, which stage {used[place]} before it reads: '
                            'that stage would find other files when it goes on'
                        )
                    check_output_folder(folder)
                    made[place] = stage.name
                used.update(dict.fromkeys(read, stage.name))
        for old, new in self.context.roots.items():
            place = os.path.realpath(new)
            if old == DEFAULT_ROOT or place == os.path.realpath(old):
                continue
            if not any(f'{path}/'.startswith(f'{place}/') for path in used):
                raise ValueError(
                    f'--data-root {new} changes nothing: no stage reads from a path that begins '
                    f'with the data_root of {self.path}, {old}'
                )

    def _run_stage(self, stage: Stage, depends: dict) -> dict:
        write_json(self._record_path(stage.name), dict(depends=depends))
        start = time.time()
        metrics = stage.run(_digest(depends))
        record = dict(
            depends=depends,
            seconds=round(time.time() - start, 1),
            metrics=metrics,
            products=stage.products(),
        )
        write_json(self._record_path(stage.name), record)
        return record

    def _finished(self, stage: Stage, depends: dict) -> dict | None:
        """The record of a finished stage; None if it is to be run."""
        record = self._read_record(stage.name)
        if record is None:
            stage.check_free()
            return None
        changes = compare_settings(record.get('depends', {}), depends)
        if not changes:
            return record if 'metrics' in record and self._whole(stage, record) else None
        if not self.context.restart:
            named = [change for change in changes if not change.startswith('before:')]
            what = some(named) if named else 'a stage before it has changed'
            raise RuntimeError(
                f'stage {stage.name} was begun with other settings or files '
                f'({self._record_path(stage.name)}): {what}. Use another --work-dir, or say '
                '--restart to do this stage and those after it anew.'
            )
        print(f'stage {stage.name} is done anew: {some(changes)}', flush=True)
        self._throw_away(stage)
        return None

    def _whole(self, stage: Stage, record: dict) -> bool:
        """Whether what a finished stage has left is still there; False: it is to be completed.

        Raises:
            RuntimeError: It is there, but something else has changed it.
        """
        left = record.get('products', {})
        try:
            if stage.products() == left:
                return True
            now = stage.products(look=True)
        except RuntimeError:
            now = {}
        changed = [name for name, digest in now.items() if left.get(name, digest) != digest]
        if changed and not self.context.restart:
            raise RuntimeError(
                f'something else has changed what stage {stage.name} has left: {some(changed)}. '
                'Use another --work-dir, or say --restart to throw it away and do this stage and '
                'those after it anew.'
            )
        if changed:
            print(f'stage {stage.name} is done anew: {some(changed)} has changed', flush=True)
            self._throw_away(stage)
            stage.drop_outputs()
            return False
        lost = some(left.keys() - now.keys()) or 'other files'
        print(f'what stage {stage.name} has left is incomplete ({lost}): it goes on', flush=True)
        if not stage.outputs():
            self._throw_away(stage)  # a training cannot make up for a checkpoint of its midst
        return False

    def _throw_away(self, stage: Stage) -> None:
        """Logs and checkpoints first: without the record, they would be of unknown origin."""
        if stage.work_dir.is_dir():
            shutil.rmtree(stage.work_dir)
        self._record_path(stage.name).unlink(missing_ok=True)

    def _read_record(self, name: str) -> dict | None:
        path = self._record_path(name)
        if not path.is_file():
            return None
        try:
            record = read_json(path)
        except ValueError:
            record = None
        if isinstance(record, dict) and isinstance(record.get('depends'), dict):
            return record
        if self.context.restart:
            return dict(depends=dict(record='broken'))
        raise RuntimeError(
            f'{path} is no record of stage {name}, or it is broken, so it is not known what it was '
            'begun with. Say --restart to do this stage and those after it anew.'
        )

    def _record_path(self, name: str) -> Path:
        return self.records / f'{name}.json'

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


def _digest(depends: dict) -> str:
    return hashlib.sha1(json.dumps(depends, sort_keys=True).encode()).hexdigest()
