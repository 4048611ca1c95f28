"""Stages that train, test, or write predictions with a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.runner import find_latest_checkpoint

from ..datasets.inputs import build_dataset, split_lines
from ..ops.dense_crf import crf_parameters
from ..registry import METRICS
from ..utils.checks import some
from ..utils.io import atomic_write, is_whole, list_files
from ..utils.provenance import claim
from ..utils.text import read_json
from .stage import ConfigStage, register_stage


@register_stage('train')
class TrainStage(ConfigStage):
    """Train ``config``; checkpoints lie in the stage's folder."""

    loaders = ('train_dataloader', 'val_dataloader')

    def run(self, digest: str) -> dict[str, Any]:
        self.run_tool('train.py', self.config(), '--resume')
        return {}


class CheckpointStage(ConfigStage):
    """A stage that takes the weights of the training stage ``checkpoint``."""

    def weights(self) -> str:
        """Newest checkpoint of that stage, ``'none'`` if the stage names none."""
        if 'checkpoint' not in self.spec:
            return 'none'
        folder = self.context.records / self.spec['checkpoint']
        checkpoint = find_latest_checkpoint(str(folder))
        if checkpoint is None:
            raise RuntimeError(
                f'stage {self.spec["checkpoint"]} has left no checkpoint in {folder}'
            )
        return str(folder / Path(checkpoint).name)


@register_stage('test')
class TestStage(CheckpointStage):
    """Metrics of ``config``; ``crf`` (a preset) and ``tta`` as in test.py."""

    needed = ConfigStage.needed | {'checkpoint'}
    optional = ConfigStage.optional | {'crf', 'tta'}

    def check(self) -> None:
        super().check()
        if self.spec.get('crf') is not None:
            crf_parameters(self.spec['crf'])

    def run(self, digest: str) -> dict[str, Any]:
        cfg = self.config()
        for metric in as_list(cfg.test_evaluator):
            if metric.type.endswith('WSSSIoUMetric'):
                metric.classwise = True
        path = self.context.records / f'{self.name}_metrics.json'
        options = ['--metrics', str(path)]
        options += ['--crf', self.spec['crf']] if self.spec.get('crf') else []
        options += ['--tta'] if self.spec.get('tta') else []
        self.run_tool('test.py', cfg, self.weights(), *options)
        return read_json(path)


@register_stage('predict')
class PredictStage(CheckpointStage):
    """Write what the writers among the test evaluators of ``config`` write.

    Without ``checkpoint`` the model is taken as it is built. Images that are done are skipped; all
    processes get one list of those that are left.
    """

    optional = ConfigStage.optional | {'checkpoint'}

    def outputs(self) -> dict[str, str]:
        writers = [e for e in as_list(self._loaded.test_evaluator) if is_writer(e)]
        if not writers:
            raise ValueError(
                f'test_evaluator of {self.spec["config"]} holds no writer '
                '(mmwsss.CAMStoreWriter, mmwsss.PseudoMaskWriter), so there is nothing to predict'
            )
        return {writer['output_dir']: METRICS.get(writer['type']).extension for writer in writers}

    def run(self, digest: str) -> dict[str, Any]:
        cfg = self.config()
        lines = split_lines(build_dataset(cfg.test_dataloader.dataset))
        images = {key: [path] for key, (path, _) in lines.items()}
        left = set()
        for folder, suffix in self.outputs().items():
            settings = {'stage': digest}
            left |= set(images) - claim(folder, suffix, settings, images, self.context.restart)
        if left:
            split = self.context.records / f'{self.name}_left.txt'
            with atomic_write(split) as tmp:
                tmp.write_text(''.join(f'{lines[key][1]}\n' for key in lines if key in left))
            cfg.test_dataloader.dataset.update(ann_file=str(split.resolve()), indices=None)
            cfg.test_evaluator = [e for e in as_list(cfg.test_evaluator) if is_writer(e)]
            for writer in cfg.test_evaluator:
                writer.claimed = True
            self.run_tool('test.py', cfg, self.weights())
        self._check_complete(list(lines))
        return {}

    def _check_complete(self, ids: list[str]) -> None:
        for folder, suffix in self.outputs().items():
            files = list_files(folder, suffix)
            missing = [key for key in ids if key not in files or not is_whole(files[key])]
            if missing:
                raise RuntimeError(
                    f'stage {self.name} has left no {suffix} file in {folder} for {len(missing)} '
                    f'of {len(ids)} images: {some(missing)}. Run the pipeline again.'
                )


def as_list(evaluators: dict | list[dict]) -> list[dict]:
    """Evaluators of a config, which may be one."""
    return evaluators if isinstance(evaluators, list) else [evaluators]


def is_writer(evaluator: dict) -> bool:
    """Whether an evaluator writes a file per image."""
    return hasattr(METRICS.get(evaluator['type']), 'extension')
