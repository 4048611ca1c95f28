"""Stages that train, test, or write predictions with a config."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from ..ops.dense_crf import crf_parameters
from ..utils.checkpoint import step_checkpoints
from ..utils.checks import check_choice, some
from ..utils.provenance import digest_file
from ..utils.text import read_json
from .predict import (
    NO_CHECKPOINT,
    WRITERS,
    as_list,
    enable_tta_and_crf,
    outputs,
    set_prediction,
    write_missing,
)
from .stage import ConfigStage, register_stage


def last_checkpoint(folder: Path) -> Path:
    """The checkpoint with which the training in a folder has ended.

    Raises:
        RuntimeError: It is not there.
    """
    recorded = find_latest_checkpoint(str(folder))
    path = folder / Path(recorded or 'none').name
    if not path.is_file():
        what = path.name if recorded else 'checkpoint'
        raise RuntimeError(f'stage {folder.name} has left no {what} in {folder}')
    return path


def best_checkpoint(folder: Path) -> Path:
    """The checkpoint of a training that validated best.

    Of several, the newest: a training that was killed may have left an older one, which is worse.

    Raises:
        RuntimeError: There is none, or there are some of several metrics.
    """
    found = sorted(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime_ns)
    metrics = {re.sub(r'_(iter|epoch)_\d+$', '', path.stem) for path in found}
    if len(metrics) != 1:
        raise RuntimeError(
            f'stage {folder.name} has left best checkpoints of {len(metrics)} metrics in {folder}, '
            f'not of one: {some(path.name for path in found) or "none"}'
        )
    return found[-1]


@register_stage('train')
class TrainStage(ConfigStage):
    """Train ``config``; checkpoints lie in the stage's folder."""

    loaders = ('train_dataloader', 'val_dataloader')

    def files(self) -> dict[str, Any]:
        """Without those of validation, unless it chooses a checkpoint."""
        found = super().files()
        if not self._save_best:
            found.pop('val_dataloader', None)
        return found

    def products(self, look: bool = False) -> dict[str, str]:
        """The checkpoint that training has ended with, and the best one."""
        paths = [last_checkpoint(self.work_dir)]
        if self._save_best:
            paths += sorted(self.work_dir.glob('best_*.pth'))
        return {path.name: digest_file(path) for path in paths}

    def check_free(self) -> None:
        found = sorted(self.work_dir.glob('[!.]*.pth'))
        if found:
            raise RuntimeError(
                f'{self.work_dir} holds checkpoints ({some(path.name for path in found)}) but '
                f'{self.name}.json beside it is gone, so it is not known what they were trained '
                'with. Move them away, or use another --work-dir.'
            )

    def run(self, digest: str) -> dict[str, Any]:
        noted = self.work_dir.joinpath('last_checkpoint').is_file()
        if not noted and not step_checkpoints(self.work_dir):
            # Best weights of a training that was killed before there was anything to go on from.
            shutil.rmtree(self.work_dir, ignore_errors=True)
        self.run_tool('train.py', self.config(), '--resume')
        return {}

    @property
    def _save_best(self) -> Any:
        hook = (self.loaded.get('default_hooks') or {}).get('checkpoint') or {}
        return hook.get('save_best')

    def check_best(self) -> None:
        """Raise ValueError if training does not keep its best checkpoint."""
        if not self._save_best:
            raise ValueError(
                f"which='best', but stage {self.name} keeps no best checkpoint: add "
                "options={'default_hooks.checkpoint.save_best': 'mIoU'} to it (the images that "
                'are validated then choose the weights)'
            )


class CheckpointStage(ConfigStage):
    """A stage that takes the weights of the training stage ``checkpoint``.

    ``which='best'`` takes those that validated best instead of the ``'last'``; ``tta`` and ``crf``
    (a preset) as in test.py.
    """

    optional = ConfigStage.optional | {'which', 'tta', 'crf'}

    def check(self) -> None:
        """Values are known."""
        super().check()
        check_choice('which', self.spec.get('which', 'last'), ('last', 'best'))
        if 'which' in self.spec and 'checkpoint' not in self.spec:
            raise ValueError('which chooses among the checkpoints of a stage: name it, checkpoint=')
        if self.spec.get('crf') is not None:
            crf_parameters(self.spec['crf'])

    def weights(self) -> str:
        """The checkpoint of that stage, ``'none'`` if the stage names none."""
        if 'checkpoint' not in self.spec:
            return NO_CHECKPOINT
        choose = best_checkpoint if self.spec.get('which') == 'best' else last_checkpoint
        return str(choose(self.context.records / self.spec['checkpoint']))

    def files(self) -> dict[str, Any]:
        """The weights, too."""
        weights = self.weights()
        given = weights != NO_CHECKPOINT
        return {**super().files(), 'weights': digest_file(weights) if given else weights}


@register_stage('test')
class TestStage(CheckpointStage):
    """Metrics of ``config``."""

    needed = ConfigStage.needed | {'checkpoint'}

    def prepare(self, cfg: Config) -> None:
        for metric in as_list(cfg.test_evaluator):
            if metric.type.endswith('WSSSIoUMetric'):
                metric.classwise = True
        enable_tta_and_crf(cfg, self.spec.get('tta', False), self.spec.get('crf'))

    def run(self, digest: str) -> dict[str, Any]:
        path = self.work_dir / 'metrics.json'
        self.run_tool('test.py', self.config(), self.weights(), '--metrics', str(path))
        return read_json(path)


@register_stage('predict')
class PredictStage(CheckpointStage):
    """Write files for the images of the test data set, or of its ``split``.

    ``write={'cams': folder, 'masks': folder}`` says what; without it the writers among the test
    evaluators do. ``predict='cam'`` or ``'seg'``: :func:`mmwsss.stages.predict.set_prediction`.
    Without ``checkpoint`` the model is taken as it is built. Images that are done are skipped.
    """

    optional = CheckpointStage.optional | {'checkpoint', 'split', 'write', 'predict'}

    def check(self) -> None:
        super().check()
        for kind in self.spec.get('write', {}):
            check_choice('write', kind, WRITERS)

    def prepare(self, cfg: Config) -> None:
        keys = ('write', 'split', 'predict', 'tta', 'crf')
        set_prediction(cfg, **{key: self.spec[key] for key in keys if key in self.spec})

    def outputs(self) -> dict[str, str]:
        return outputs(self.loaded)

    def run(self, digest: str) -> dict[str, Any]:
        write_missing(
            f'stage {self.name}',
            self.config(),
            dict(stage=self.name, pipeline=self.context.path.stem, digest=digest),
            self.work_dir / 'left.txt',
            lambda cfg: self.run_tool('test.py', cfg, self.weights()),
            self.context.restart,
        )
        return {}
