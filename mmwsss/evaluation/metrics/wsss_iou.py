"""The one metric of all tables: segmentation, pseudo masks and seeds."""

from __future__ import annotations

import ast
import json
import logging
import math
import os
import os.path as osp
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

from mmwsss.ops.confusion import (
    EMPTY_CONVENTIONS,
    PRED_IGNORE_CONVENTIONS,
    confusion_matrix,
    power_to_threshold,
    segmentation_scores,
    strange_values,
    sweep_matrices,
    threshold_histogram,
)
from mmwsss.ops.resize import upsample
from mmwsss.registry import METRICS
from mmwsss.utils.arguments import FLAG, INTEGER, TEXT, checked, one_of
from mmwsss.utils.checks import check_choice, check_range
from mmwsss.utils.io import BINARY_HINT, write_json
from mmwsss.visualization.curve import draw_sweep

TABLE_COLUMNS = ('iou', 'fp', 'fn', 'precision', 'recall')
PRED_IGNORE = 255
MAX_THRESHOLDS = 10_000


def _check_thresholds(name: str, value: object) -> None:
    try:
        parse_thresholds(value)
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error


@METRICS.register_module()
@checked(
    ignore_index=INTEGER,
    empty=one_of(*EMPTY_CONVENTIONS),
    pred_ignore=one_of(*PRED_IGNORE_CONVENTIONS),
    background_thresholds=_check_thresholds,
    classwise=FLAG,
    output_dir=TEXT,
    prefix=TEXT,
    field=TEXT,
)
class WSSSIoUMetric(BaseMetric):
    """Scores from one confusion matrix over the whole data set.

    Compares ``pred_sem_seg`` with ``gt_sem_seg``. With ``background_thresholds`` it judges the
    seeds of ``pred_cam`` instead, at every threshold in one pass, and reports the best one.
    Every process keeps one running matrix; they are summed, and the images that a sampler
    repeats to fill the last batch are counted once (by ``img_path``).

    Keys, in percent: ``mIoU``, ``mIoU_fg``, ``pAcc``, ``mAcc``, ``FP``, ``FN``, ``FP_bg``,
    ``FN_bg``, ``FP_fg``, ``FN_fg``, ``coverage``, ``among_predfg_bg``; with ``classwise`` also
    ``IoU/<class>``; with thresholds also ``best_mIoU`` (the same as ``mIoU``), ``best_threshold``
    and, for power backgrounds, ``best_power``. See ``docs/evaluation.md``.

    Args:
        ignore_index: Truth value that is not counted. Other values than this and the classes are
            an error, in the truth as in the prediction (there 255 is allowed), and so is a truth
            in which pixels are ignored but no class ever occurs: a binary mask of 0 and 255.
        empty: Means over classes ``'nanmean'`` (in truth or prediction), ``'gt_present'`` (in
            the truth) or ``'zero'`` (all, absent ones count 0).
        pred_ignore: A prediction outside the classes, as 255 in a pseudo mask, is a ``'miss'``,
            an ``'exclude'``-d pixel, or ``'background'``.
        background_thresholds: None; a list of thresholds in [0, 1]; ``'range:0:1:0.01'`` (the end
            is left out); or ``'power:[1, 2, 4]'``, backgrounds ``(1 - max cam) ** a``.
        classwise: Add the IoU of each class to the returned keys.
        output_dir: Where to write the JSON report (scores, confusion matrix, curve, tags) and, with
            thresholds, a picture of the curve.
        tags: Free facts for the report: split, label source, CRF preset, rule of the truth.
        prefix: Prefix of the keys, needed when an evaluator holds this metric twice.
        field: The prediction that is judged; ``'pred_pseudo_mask'`` with
            ``model.test_cfg.with_cam=True`` for the pseudo masks. Not used with thresholds.
    """

    default_prefix = ''  # mmengine warns about None

    def __init__(
        self,
        ignore_index: int = 255,
        empty: str = 'nanmean',
        pred_ignore: str = 'miss',
        background_thresholds: Sequence[float] | str | None = None,
        classwise: bool = False,
        output_dir: str | None = None,
        tags: dict | None = None,
        prefix: str | None = None,
        field: str = 'pred_sem_seg',
    ) -> None:
        super().__init__(prefix=prefix)
        self.field = field
        self.ignore_index = ignore_index
        self.conventions = dict(empty=empty, pred_ignore=pred_ignore)
        self.thresholds, self.powers = parse_thresholds(background_thresholds)
        self.classwise = classwise
        self.output_dir = output_dir
        self.tags = dict(tags or {})
        _check_tags(self.tags)
        if output_dir is not None:
            os.makedirs(output_dir, exist_ok=True)
        self._reset()

    def _reset(self) -> None:
        self.results.clear()
        self._counts: Tensor | int = 0
        # The last image stays apart: it is the only one that a padding sampler may repeat.
        self._last: tuple[str, Tensor] | None = None
        self._earlier: set[str] = set()
        self._ignored_at: str | None = None

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the data set, background first."""
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                'WSSSIoUMetric needs the class names: set metainfo=dict(classes=(...)) '
                'in the data set config'
            )
        return classes

    def process(self, data_batch: dict | None, data_samples: Sequence[dict]) -> None:
        """Add a batch to the running matrix; an image seen before is skipped."""
        for sample in data_samples:
            path = sample.get('img_path')
            if path is None:
                raise ValueError(
                    "a data sample has no 'img_path': add it to the meta_keys of the packing "
                    'transform, the metric needs it to count every image once'
                )
            if path in self._earlier or (self._last and self._last[0] == path):
                continue
            counts = self._count_image(path, sample)
            self._flush_last()
            self._last = (path, counts)

    def _flush_last(self) -> None:
        if self._last is not None:
            path, counts = self._last
            self._earlier.add(path)
            self._counts = self._counts + counts

    def _count_image(self, path: str, sample: dict) -> Tensor:
        truth = named_field(sample, 'gt_sem_seg', path, REMEDY_TRUTH)['data'].squeeze(0)
        mask = sample.get('seg_map_path') or path
        try:
            _check_whole(f'truth {mask}', truth)
            if self.thresholds is None:
                counts = self._count_labels(path, sample, truth)
            else:
                counts = self._count_maps(path, sample, truth)
            ignored = int((truth == self.ignore_index).sum())
            if int(counts.sum()) + ignored < truth.numel():
                raise self._strange(f'truth {mask}', truth, self.ignore_index)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        if ignored and self._ignored_at is None:
            self._ignored_at = mask
        return counts

    def _count_labels(self, path: str, sample: dict, truth: Tensor) -> Tensor:
        pred = named_field(sample, self.field, path, REMEDY_PREDICTION)['data'].squeeze(0)
        _check_whole('prediction', pred)
        truth = truth.to(pred.device)
        counts = confusion_matrix(pred, truth, len(self.classes), self.ignore_index)
        spare = counts[:, -1].sum()
        if spare and strange_values(pred, len(self.classes), PRED_IGNORE):
            raise self._strange('prediction', pred, PRED_IGNORE)
        return counts

    def _count_maps(self, path: str, sample: dict, truth: Tensor) -> Tensor:
        maps = named_field(sample, 'pred_cam', path, REMEDY_CAM)
        cam, labels = maps['cam'], maps['labels']
        _check_unit(cam)
        if cam.ndim == 3 and cam.shape[1:] != truth.shape:
            cam = upsample(cam, truth.shape)
        return threshold_histogram(
            cam,
            labels.to(cam.device),
            truth.to(cam.device),
            self.thresholds,
            len(self.classes),
            self.ignore_index,
        )

    def _strange(self, what: str, labels: Tensor, allowed: int) -> ValueError:
        n = len(self.classes)
        return ValueError(
            f'the {what} holds the values {strange_values(labels, n, allowed)}, which are none of '
            f'the {n} classes 0..{n - 1} nor {allowed}'
        )

    def evaluate(self, size: int) -> dict:
        """Sum the matrices of all processes and compute the scores of the whole data set."""
        try:
            counts, num_images = self._gather()
        finally:
            self._reset()
        if num_images != size:
            print_log(
                f'{num_images} different images were judged, the data set has {size}',
                'current',
                logging.WARNING,
            )
        metrics = self.compute_metrics([counts], num_images)
        return {f'{self.prefix}/{k}': v for k, v in metrics.items()} if self.prefix else metrics

    def _gather(self) -> tuple[Tensor, int]:
        last_path = self._last[0] if self._last else None
        shards = all_gather_object((self._earlier, last_path, self._ignored_at))
        earlier = set().union(*(paths for paths, _, _ in shards))
        if len(earlier) < sum(len(paths) for paths, _, _ in shards):
            raise RuntimeError(
                'the processes judged the same images, not only those that fill the last batch: '
                "use sampler=dict(type='DefaultSampler', shuffle=False)"
            )
        keepers: dict[str, int] = {}
        for rank, (_, path, _) in enumerate(shards):
            if path is not None and path not in earlier:
                keepers.setdefault(path, rank)
        if not earlier and not keepers:
            raise RuntimeError('no prediction was processed: is the evaluated split empty?')
        total = torch.zeros(self._shape(), dtype=torch.int64)
        total += torch.as_tensor(self._counts).cpu()
        if keepers.get(last_path) == get_rank():
            total += self._last[1].cpu()
        all_reduce(total)
        num_images = len(earlier) + len(keepers)
        ignored_at = next((where for *_, where in shards if where is not None), None)
        if self.ignore_index == 255 and ignored_at is not None and not total[1:].any():
            what = f'not one of the {num_images} true masks'
            raise ValueError(BINARY_HINT.format(what=what, at=ignored_at))
        return total, num_images

    def _shape(self) -> tuple[int, ...]:
        """Of the counts: truth, prediction, and what follows."""
        n = len(self.classes)
        return (n, n + 1) if self.thresholds is None else (n, n, len(self.thresholds) + 1)

    def compute_metrics(self, results: list[Tensor], num_images: int) -> dict[str, float]:
        """Scores of the summed counts; the main process also logs and writes them."""
        matrix, extra, curve = self._reported(results[0])
        scores = segmentation_scores(matrix, **self.conventions)
        metrics = {**_summary(scores), **extra}
        if is_main_process():
            self._log(scores, metrics)
            if self.output_dir is not None:
                self._write_report(matrix, scores, metrics, curve, num_images)
        if self.classwise:
            iou = (scores['iou'] * 100).tolist()
            metrics.update({f'IoU/{c}': v for c, v in zip(self.classes, iou, strict=True)})
        return metrics

    def _reported(self, counts: Tensor) -> tuple[Tensor, dict[str, float], Tensor | None]:
        """The matrix to report, further metrics, and the curve of a sweep."""
        if self.thresholds is None:
            return counts, {}, None
        matrices = sweep_matrices(counts)
        curve, best = self._compared(matrices)
        extra = dict(best_mIoU=float(curve[best]), best_threshold=float(self.thresholds[best]))
        if self.powers is not None:
            extra['best_power'] = float(self.powers[best])
        return matrices[best], extra, curve

    def _compared(self, matrices: Tensor) -> tuple[Tensor, int]:
        """mIoU in percent of several matrices, and which is best."""
        curve = segmentation_scores(matrices, **self.conventions)['miou'] * 100
        return curve, int(curve.nan_to_num(nan=-1).argmax())

    def _log(self, scores: dict[str, Tensor], metrics: dict[str, float]) -> None:
        table = PrettyTable(['Class', 'IoU', 'FP', 'FN', 'Precision', 'Recall'])
        table.align['Class'] = 'l'
        columns = torch.stack([scores[c] for c in TABLE_COLUMNS], dim=1) * 100
        for name, row in zip(self.classes, columns.tolist(), strict=True):
            table.add_row([name, *(f'{v:.2f}' for v in row)])
        title = f'per class results of {self.prefix}' if self.prefix else 'per class results'
        if self.thresholds is not None:
            title += f' at the best threshold {metrics["best_threshold"]:.4g}'
        print_log(f'{title}:\n{table.get_string()}', 'current')
        absent = [
            c for c, t in zip(self.classes, scores['truth_pixels'].tolist(), strict=True) if t == 0
        ]
        if absent:
            print_log(
                f'classes that never occur in the truth: {", ".join(absent)}; mIoU then depends '
                f'on the convention, here empty={self.conventions["empty"]!r}',
                'current',
                logging.WARNING,
            )
        if metrics['coverage'] < 100:
            print_log(
                f'{100 - metrics["coverage"]:.2f} % of the predictions are no class, treated as '
                f'pred_ignore={self.conventions["pred_ignore"]!r}',
                'current',
                logging.WARNING,
            )

    def _write_report(
        self,
        matrix: Tensor,
        scores: dict[str, Tensor],
        metrics: dict[str, float],
        curve: Tensor | None,
        num_images: int,
    ) -> None:
        stem = osp.join(self.output_dir, f'wsss_iou_{self.prefix}' if self.prefix else 'wsss_iou')
        per_class = {key: (scores[key] * 100).tolist() for key in TABLE_COLUMNS}
        report = dict(
            num_images=num_images,
            **self.conventions,
            ignore_index=self.ignore_index,
            tags=self.tags,
            metrics=metrics,
            classes=list(self.classes),
            per_class=per_class,
            confusion=matrix.tolist(),
        )
        if curve is not None:
            report['curve'] = dict(thresholds=self.thresholds.tolist(), mIoU=curve.tolist())
            if self.powers is not None:
                report['curve']['powers'] = self.powers.tolist()
            draw_sweep(f'{stem}.png', self.thresholds.tolist(), curve.tolist(), self.prefix or '')
        write_json(f'{stem}.json', _without_nan(report))


REMEDY_TRUTH = (
    'add LoadAnnotations to the test pipeline and seg_map_path to the data set; '
    'predictions without a truth are written by PseudoMaskWriter or CAMStoreWriter'
)
REMEDY_PREDICTION = 'the model has to fill it in predict'
REMEDY_CAM = (
    "background_thresholds judges activation maps: set model.test_cfg.predict='cam', and add "
    'LoadImageLabels to the test pipeline'
)


def named_field(sample: dict, key: str, path: str, remedy: str) -> dict:
    """A field of a sample; ValueError with the ``remedy`` if it is missing."""
    if key not in sample:
        raise ValueError(f'{path} has no {key}: {remedy}')
    return sample[key]


def _check_tags(tags: dict) -> None:
    try:
        json.dumps(_without_nan(tags), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f'tags must be text, numbers, lists and dictionaries: {error}') from error


def _check_unit(cam: Tensor) -> None:
    if not ((cam > -1e-3) & (cam < 1 + 1e-3)).all():  # NaN, too; rounding is none of its matter
        raise ValueError(
            f'the activation maps range from {cam.min():.3g} to {cam.max():.3g}, outside [0, 1], '
            'where the thresholds lie: normalise them'
        )


def _check_whole(what: str, labels: Tensor) -> None:
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f'the {what} holds {str(labels.dtype).removeprefix("torch.")} numbers; class indices '
            'are whole numbers'
        )


def parse_thresholds(spec: Sequence[float] | str | None) -> tuple[Tensor | None, Tensor | None]:
    """Background thresholds of a sweep.

    Args:
        spec: See :class:`WSSSIoUMetric`; numbers with commas between them are a list.

    Returns:
        float64 thresholds ``(T,)``, increasing, in [0, 1], and the powers that they stand for if
        these were asked for. None without ``spec``.

    Raises:
        ValueError: Of another form, not finite, out of range, or not increasing.
    """
    if spec is None:
        return None, None
    try:
        thresholds = torch.tensor(_numbers(spec), dtype=torch.float64)
        powers = None
        if isinstance(spec, str) and spec.startswith('power:'):
            powers = thresholds.sort(descending=True).values
            thresholds = power_to_threshold(powers)
        if thresholds.ndim != 1 or not len(thresholds) or not (thresholds.diff() > 0).all():
            raise ValueError('the thresholds have to increase, and there must be one')
        if not ((thresholds >= 0) & (thresholds <= 1)).all():
            raise ValueError('the thresholds have to lie in [0, 1], as the maps do')
    except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError) as error:
        raise ValueError(
            f'background_thresholds={spec!r} ({error}); expected an increasing list, '
            "'range:0:1:0.01' or 'power:[1, 2, 4]'"
        ) from error
    return thresholds, powers


def _numbers(spec: Sequence[float] | str) -> list[float]:
    if not isinstance(spec, str):
        return list(spec)
    kind, colon, values = spec.partition(':')
    if not colon:
        return [float(value) for value in spec.split(',')]
    check_choice('the kind', kind, ('range', 'power'))
    return _range(*values.split(':')) if kind == 'range' else list(ast.literal_eval(values))


def _range(start: str, stop: str, step: str) -> list[float]:
    first, last, width = float(start), float(stop), float(step)
    check_range('the step', width, 0, 1, open_low=True)
    count = math.ceil((last - first) / width - 1e-9)
    check_range('the number of thresholds', count, 1, MAX_THRESHOLDS)
    return [round(first + i * width, 10) for i in range(count)]


def _summary(scores: dict[str, Tensor]) -> dict[str, float]:
    values = dict(
        mIoU=scores['miou'],
        mIoU_fg=scores['miou_fg'],
        pAcc=scores['pixel_acc'],
        mAcc=scores['mean_acc'],
        FP=scores['mean_fp'],
        FN=scores['mean_fn'],
        FP_bg=scores['fp'][0],
        FN_bg=scores['fn'][0],
        FP_fg=scores['mean_fp_fg'],
        FN_fg=scores['mean_fn_fg'],
        coverage=scores['coverage'],
        among_predfg_bg=scores['predfg_on_bg'],
    )
    return {key: float(value) * 100 for key, value in values.items()}


def _without_nan(value: object) -> object:
    """JSON has no NaN; an undefined score is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
