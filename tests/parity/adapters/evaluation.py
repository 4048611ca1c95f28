"""Adapters of the golden folder ``evaluation``: our confusion functions under each convention."""

from __future__ import annotations

import numpy as np
import torch

from mmwsss.ops.confusion import (
    confusion_matrix,
    power_to_threshold,
    segmentation_scores,
    sweep_matrices,
    threshold_histogram,
)

from ..harness import Case, close, exact


def _images(case: Case, *names: str):
    for i in range(int(case['param_num_images'])):
        yield tuple(torch.from_numpy(np.asarray(case[f'in_{name}_{i}'])) for name in names)


def _matrix(case: Case) -> torch.Tensor:
    n = int(case['param_num_classes'])
    ignore = int(case['param_ignore_index']) if 'param_ignore_index' in case else 255
    return sum(confusion_matrix(pred, gt, n, ignore) for gt, pred in _images(case, 'gt', 'pred'))


def _numpy(outputs: dict) -> dict:
    return {name: np.asarray(value) for name, value in outputs.items()}


def confusion(case: Case) -> dict:
    matrix = _matrix(case)
    nanmean, present, zero = (
        segmentation_scores(matrix, empty) for empty in ('nanmean', 'gt_present', 'zero')
    )
    return _numpy(
        {
            'out_confusion': matrix[:, :-1],
            'out_iou': nanmean['iou'],
            'out_miou_nanmean': nanmean['miou'],
            'out_miou_gt_present': present['miou'],
            'out_miou_pmm': present['miou'],
            'out_miou_zero_for_empty': zero['miou'],
            'out_1stage_miou_with_bg': zero['miou'],
            'out_1stage_miou_without_bg': zero['miou_fg'],
            'out_1stage_precision': zero['precision'].nan_to_num(nan=0.0),
            'out_1stage_recall': zero['recall'].nan_to_num(nan=0.0),
            'out_fp': nanmean['fp'],
            'out_fn': nanmean['fn'],
            'out_fp_mean_all': zero['mean_fp'],
            'out_fn_mean_all': zero['mean_fn'],
            'out_pixel_acc': nanmean['pixel_acc'],
            'out_mean_acc': nanmean['mean_acc'],
        }
    )


def prediction_with_255(case: Case) -> dict:
    matrix = _matrix(case)
    outputs = {}
    for name, pred_ignore in (
        ('excluded', 'exclude'),
        ('as_background', 'background'),
        ('as_miss', 'miss'),
    ):
        scores = segmentation_scores(matrix, pred_ignore=pred_ignore)
        outputs[f'out_miou_{name}'] = scores['miou']
        outputs[f'out_iou_{name}'] = scores['iou']
    # This reference marks classes that do not occur with -1.
    outputs['out_iou_as_miss'] = outputs['out_iou_as_miss'].nan_to_num(nan=-1.0)
    outputs['out_naive_fast_hist'] = _unguarded_miou(case)
    return _numpy(outputs)


def _unguarded_miou(case: Case) -> np.ndarray:
    """The known defect itself (255 lands in a wrong cell); no function of ours does this."""
    n = int(case['param_num_classes'])
    matrix = np.zeros(n * n, np.int64)
    for gt, pred in _images(case, 'gt', 'pred'):
        keys = n * gt[gt < n].long() + pred[gt < n].long()
        matrix += np.bincount(keys.numpy(), minlength=n * n)
    matrix = torch.from_numpy(matrix.reshape(n, n))
    return segmentation_scores(torch.nn.functional.pad(matrix, (0, 1)), 'gt_present')['miou']


def cam_background_sweep(case: Case) -> dict:
    const, powers = case['param_const_thresholds'], case['param_powers']
    at_const = _sweep(case, torch.from_numpy(np.asarray(const)))
    at_power = _sweep(case, power_to_threshold(powers))
    const_present = segmentation_scores(at_const, 'gt_present')['miou']
    power_present = segmentation_scores(at_power, 'gt_present')['miou']
    return _numpy(
        {
            'out_miou_const_gt_present': const_present,
            'out_miou_const_nanmean': segmentation_scores(at_const)['miou'],
            'out_miou_power': power_present,
            'out_best_const_threshold': const[int(const_present.argmax())],
            'out_best_power': powers[int(power_present.argmax())],
        }
    )


def _sweep(case: Case, thresholds: torch.Tensor) -> torch.Tensor:
    """``(T, n, n + 1)`` matrices in the order of ``thresholds``."""
    ordered, order = thresholds.sort()
    n = int(case['param_num_classes'])
    histogram = sum(
        threshold_histogram(cam, keys, gt, ordered, n)
        for cam, keys, gt in _images(case, 'cam', 'keys', 'gt')
    )
    return sweep_matrices(histogram)[order.argsort()]


ADAPTERS = {
    'confusion': confusion,
    'prediction_with_255': prediction_with_255,
    'cam_background_sweep': cam_background_sweep,
}

TOLERANCES = {'*/out_confusion': exact, '*': close(atol=1e-6)}
