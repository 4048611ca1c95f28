"""Folder tasks that store what the dense CRF makes of maps, for training transforms to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from mmwsss.utils.arguments import CLASSES, POSITIVE, SHARE, checked, number, several

from ..ops.dense_crf import DenseCRF, check_crf_arguments, unary_from_scores
from ..ops.pseudo_label import add_background, threshold_label
from ..registry import TASK_UTILS
from ..utils.checks import check_range
from ..utils.io import write_arrays
from .crf import read_cam


@TASK_UTILS.register_module()
@checked(power=POSITIVE)
@dataclass(frozen=True)
class ScoresFromCAMs:
    """Posterior of [background, maps of the image's classes] (rough masks of PMM: power 24).

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` and ``scores`` float16 ``(1 + K, H, W)``,
    background first.

    Attributes:
        power: Background score ``(1 - max cam) ** power``.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.

    Raises:
        ValueError: A value is out of its range.
    """

    power: float = 24.0
    crf: dict = field(default_factory=dict)

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.npz'

    def __post_init__(self) -> None:
        check_crf_arguments(self.crf)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cam = read_cam(source, image)
        scores = add_background(cam[None], self.power)[0]
        scores = DenseCRF(torch.from_numpy(image), **self.crf)(unary_from_scores(scores))
        write_arrays(target, labels=np.int16(stored.labels), scores=np.float16(scores))


@TASK_UTILS.register_module()
@checked(
    backgrounds=several(SHARE, 2),
    gt_prob=number(0, 1, open_low=True, open_high=True),
    num_labels=CLASSES,
)
@dataclass(frozen=True)
class TwoLabelsFromCAMs:
    """Two label maps under constant backgrounds, each refined as hard labels (IRN, TransCAM).

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` and the label maps ``low`` and ``high`` uint8
    ``(H, W)``. As among the scores of :class:`mmwsss.stages.LowHighFromCAMs`, what ``low`` calls
    foreground is confident, and what ``high`` calls background.
    :class:`mmwsss.datasets.transforms.FuseTwoLabels` makes one of them.

    Attributes:
        backgrounds: Background scores of ``low`` and ``high``, falling.
        gt_prob: Certainty in (0, 1) of the labels.
        num_labels: Labels of the CRF (21 in TransCAM's on VOC); None: those that occur in
            either map, and 0.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.

    Raises:
        ValueError: A value is out of its range.
    """

    backgrounds: tuple[float, float] = (0.6, 0.25)
    gt_prob: float = 0.7
    num_labels: int | None = None
    crf: dict = field(default_factory=dict)

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.npz'

    def __post_init__(self) -> None:
        low, high = self.backgrounds
        check_range('backgrounds[1]', high, 0, low, open_high=True)
        check_crf_arguments(self.crf)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cam = read_cam(source, image, self.num_labels)
        crf, classes = DenseCRF(torch.from_numpy(image), **self.crf), torch.tensor(stored.labels)
        both = [threshold_label(cam[None], classes[None], score) for score in self.backgrounds]
        low, high = crf.refine_labels(torch.cat(both), self.gt_prob, num_labels=self.num_labels)
        write_arrays(target, labels=np.int16(stored.labels), low=np.uint8(low), high=np.uint8(high))
