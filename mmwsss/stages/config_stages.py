"""Stages that train, test, or write predictions with a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from ..ops.dense_crf import crf_parameters
from ..utils.checks import check_choice, some
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


@register_stage('train')
class TrainStage(ConfigStage):
    """Train ``config``; checkpoints lie in the stage's folder."""

    loaders = ('train_dataloader', 'val_dataloader')

    def run(self, digest: str) -> dict[str, Any]:
        self.run_tool('train.py', self.config(), '--resume')
        return {}

    def check_best(self) -> None:
        """Raise ValueError if training does not keep its best checkpoint."""
        hook = (self.loaded.get('default_hooks') or {}).get('checkpoint') or {}
        if not hook.get('save_best'):
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
        folder = self.context.records / self.spec['checkpoint']
        if self.spec.get('which') == 'best':
            found = sorted(folder.glob('best_*.pth'))
            if len(found) != 1:
                raise RuntimeError(
                    f'stage {self.spec["checkpoint"]} has left {len(found)} best checkpoints in '
                    f'{folder}, not one: {some(path.name for path in found) or "none"}'
                )
            return str(found[0])
        checkpoint = find_latest_checkpoint(str(folder))
        if checkpoint is None:
            raise RuntimeError(
                f'stage {self.spec["checkpoint"]} has left no checkpoint in {folder}'
            )
        return str(folder / Path(checkpoint).name)


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
        path = self.context.records / f'{self.name}_metrics.json'
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
            dict(stage=digest),
            self.context.records / f'{self.name}_left.txt',
            lambda cfg: self.run_tool('test.py', cfg, self.weights()),
            self.context.restart,
        )
        return {}
