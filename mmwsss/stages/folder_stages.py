"""Stages that work on folders: a task for every image, and judging."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..datasets.class_names import foreground_names
from ..datasets.converters.common import read_ids
from ..evaluation import WSSSIoUMetric
from ..registry import TASK_UTILS
from ..utils.checks import check_choice, check_range, some
from ..utils.images import find_images
from ..utils.provenance import RECORD, digest_json, digest_stamps, drop_leftovers
from ..utils.text import read_json
from .evaluate import (
    CONVENTIONS,
    PredictionFolder,
    check_predictions,
    check_truths,
    eval_folder,
)
from .folder import files_beside, find_sources, run_folder
from .stage import Stage, check_folders, register_stage

# what decides the kind of a dense_crf stage, and the settings that only this kind has
_CRF_KINDS = {
    'power': {'confidence', 'image'},
    'background': {'confidence', 'image'},
    'low_high': {'stride'},
    'gt_prob': {'num_labels'},
    'scores': set(),
    'ppmg': {'threshold', 'cv_scale'},
}
_BACKGROUNDS = 'range:0:1:0.01'
BEST_OF = 'best of '


@register_stage('folder')
class FolderStage(Stage):
    """``task``, the config of a folder task, on ``source`` and ``images`` -> ``out``.

    ``ids`` is a split list (without it, all files of ``source``), ``processes`` how many are used.
    """

    needed = frozenset({'task', 'source', 'images', 'out'})
    optional = frozenset({'ids', 'processes'})

    def check(self) -> None:
        """The task can be built, and the number of processes is one."""
        try:
            self.task = TASK_UTILS.build(self.task_config())
        except (KeyError, TypeError) as error:  # no such task, or no such setting of it
            raise ValueError(f'task: {error.args[0]}') from error
        check_range('processes', self.spec.get('processes'), 1, integer=True)

    def task_config(self) -> dict[str, Any]:
        """Config of the task."""
        return dict(self.spec['task'])

    def reads(self, made: Collection[str]) -> list[str]:
        source, images = self.spec['source'], self.spec['images']
        beside = files_beside(self.task)
        named = dict.fromkeys(beside, 'of the task')
        check_folders({source: 'source', images: 'images', **named}, made)
        ids = self.ids()
        if os.path.realpath(source) not in made:
            ids = list(find_sources(source, self.task.source_suffix, ids))
        if ids and os.path.realpath(images) not in made:
            find_images(images, ids)
        for folder, suffix in beside.items():
            if ids and os.path.realpath(folder) not in made:
                find_sources(folder, suffix, ids)
        return [source, images, *beside]

    def ids(self) -> list[str] | None:
        """Those of the split list; None: all of the source."""
        return read_ids(self.spec['ids']) if 'ids' in self.spec else None

    def outputs(self) -> dict[str, str]:
        return {self.spec['out']: self.task.target_suffix}

    def files(self) -> dict[str, Any]:
        sources = find_sources(self.spec['source'], self.task.source_suffix, self.ids())
        images = find_images(self.spec['images'], sources)
        found = {
            'ids': digest_json(list(sources)),
            'source': digest_stamps(sources.values()),
            'images': digest_stamps(images.values()),
        }
        for folder, suffix in files_beside(self.task).items():
            found[folder] = digest_stamps(find_sources(folder, suffix, list(sources)).values())
        return found

    def run(self, digest: str) -> dict[str, Any]:
        source, images, out = (self.spec[key] for key in ('source', 'images', 'out'))
        ids, restart = self.ids(), self.context.restart
        run_folder(self.task, source, images, out, ids, self.spec.get('processes'), restart)
        present = ids or find_sources(source, self.task.source_suffix)
        drop_leftovers(out, self.task.target_suffix, present, restart)
        print()
        return {}


@register_stage('dense_crf')
class DenseCRFStage(FolderStage):
    """The CRF tasks by the words of ``tools/dense_crf.py``.

    ``preset`` and one of ``power``, ``background`` (both may have ``confidence`` and ``image``),
    ``low_high`` (may have ``stride``), ``gt_prob`` (may have ``num_labels``), ``scores`` (the
    exponent of :class:`mmwsss.stages.ScoresFromCAMs`) and ``ppmg`` (the exponent of
    :class:`mmwsss.stages.PPMGFromCAMs`, whose usual preset is ``pmm``; may have ``threshold`` and
    ``cv_scale``), see :mod:`mmwsss.stages.crf`. ``background='best of NAME'`` and
    ``power='best of NAME'`` take the best value that the ``evaluate`` stage NAME has found.
    """

    needed = frozenset({'source', 'images', 'out'})
    optional = FolderStage.optional.union({'preset', *_CRF_KINDS}, *_CRF_KINDS.values())

    def check(self) -> None:
        kinds = [kind for kind in _CRF_KINDS if kind in self.spec]
        if len(kinds) != 1:
            raise ValueError(f'needs one of {", ".join(_CRF_KINDS)}')
        special = set().union(*_CRF_KINDS.values())
        foreign = (special - _CRF_KINDS[kinds[0]]) & self.spec.keys()
        if foreign:
            raise ValueError(f'{some(sorted(foreign))} cannot be said of {kinds[0]}')
        super().check()

    def task_config(self) -> dict[str, Any]:
        usual = 'pmm' if 'ppmg' in self.spec else 'psa'
        crf = dict(preset=self.spec.get('preset', usual))
        if 'scores' in self.spec:
            return dict(type='mmwsss.ScoresFromCAMs', power=self.spec['scores'], crf=crf)
        if 'ppmg' in self.spec:
            given = {key: self.spec[key] for key in _CRF_KINDS['ppmg'] if key in self.spec}
            return dict(type='mmwsss.PPMGFromCAMs', alpha=self.spec['ppmg'], crf=crf, **given)
        if 'low_high' in self.spec:
            low, high = self.spec['low_high']
            stride = self.spec.get('stride', 1)
            return dict(type='mmwsss.LowHighFromCAMs', low=low, high=high, crf=crf, stride=stride)
        if 'gt_prob' in self.spec:
            given = {key: self.spec[key] for key in ('gt_prob', 'num_labels') if key in self.spec}
            return dict(type='mmwsss.MasksFromMasks', crf=crf, **given)
        keys = ('power', 'background', 'confidence', 'image')
        given = {key: self.spec[key] for key in keys if key in self.spec}
        for key, metric in (('background', 'best_threshold'), ('power', 'best_power')):
            if str(given.get(key, '')).startswith(BEST_OF):
                given[key] = self._best(given[key].removeprefix(BEST_OF), metric)
        return dict(type='mmwsss.MasksFromCAMs', crf=crf, **given)

    def _best(self, name: str, metric: str) -> float:
        """The best value that an ``evaluate`` stage has found; any valid one before it has run."""
        path = self.context.records / f'{name}.json'
        metrics = read_json(path).get('metrics') if path.is_file() else None
        if metrics is None:
            return 0.5
        if metric not in metrics:
            raise ValueError(
                f'stage {name} has found no {metric}: its background must be a sweep, '
                "'range:...' of thresholds or 'power:[...]' of powers"
            )
        return metrics[metric]

    def run(self, digest: str) -> dict[str, Any]:
        self.task = TASK_UTILS.build(self.task_config())
        return super().run(digest)


@register_stage('evaluate')
class EvaluateStage(Stage):
    """Judge the folder ``predictions`` against the masks ``truth`` of a ``split``.

    ``background`` is a sweep for maps, ``convention`` that of a published evaluator
    (:data:`mmwsss.stages.evaluate.CONVENTIONS`).
    """

    needed = frozenset({'predictions', 'truth', 'split', 'classes'})
    optional = frozenset({'background', 'convention'})

    def check(self) -> None:
        """Classes, background and convention are known."""
        foreground_names(self.spec['classes'])
        check_choice('convention', self.spec.get('convention', 'default'), CONVENTIONS)
        WSSSIoUMetric(background_thresholds=self._background)

    @property
    def _background(self) -> Any:
        return self.spec.get('background', _BACKGROUNDS)

    def reads(self, made: Collection[str]) -> list[str]:
        predictions, truth = self.spec['predictions'], self.spec['truth']
        if os.path.realpath(predictions) == os.path.realpath(truth):
            raise ValueError(f'{truth} is both the predictions and the truth')
        check_folders({predictions: 'predictions', truth: 'truth'}, made)
        ids = read_ids(self.spec['split'])
        for folder, check in ((predictions, check_predictions), (truth, check_truths)):
            if os.path.realpath(folder) not in made:
                check(folder, ids)
        return [predictions, truth]

    def files(self) -> dict[str, Any]:
        names = ('predictions', 'truth')
        found = {name: digest_stamps(visible(self.spec[name])) for name in names}
        classes = digest_json(foreground_names(self.spec['classes']))
        return {**found, 'split': digest_stamps([self.spec['split']]), 'classes': classes}

    def run(self, digest: str) -> dict[str, Any]:
        classes = ['background', *foreground_names(self.spec['classes'])]
        folder = PredictionFolder(
            self.spec['predictions'],
            self.spec['truth'],
            read_ids(self.spec['split']),
            len(classes),
        )
        out = self.context.records / f'eval_{self.name}'
        tags = {'name': self.name, **self.spec}
        convention = self.spec.get('convention', 'default')
        return eval_folder(folder, classes, [self._background], convention, out, tags)


def visible(folder: str | os.PathLike) -> list[Path]:
    """Files of a folder, sorted, without hidden ones and the record of their origin."""
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_file() and e.name[0] != '.')
    return [Path(folder, name) for name in names if name != RECORD]
