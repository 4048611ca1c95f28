"""Folder task of PMM: masks from the shares of smoothed maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..ops.dense_crf import DenseCRF, check_crf_arguments
from ..ops.ppmg import foreground_scores, proportional_label, smooth_activation
from ..registry import TASK_UTILS
from ..utils.arguments import PALETTE, POSITIVE, WEIGHT, checked, number
from ..utils.io import write_mask
from .crf import read_cam


@TASK_UTILS.register_module()
@checked(
    alpha=POSITIVE,
    threshold=number(0, 1, open_high=True),
    cv_scale=WEIGHT,
    palette=PALETTE,
)
@dataclass(frozen=True)
class PPMGFromCAMs:
    """Pseudo mask by smoothing of every map, a CRF for every class, and shares (PMM).

    Li et al., ICCV 2021, arXiv 2108.12995: CVS and PPMG (:mod:`mmwsss.ops.ppmg`). The lattices of
    the CRF are built once for an image, and all classes run through them together.

    Attributes:
        alpha: Exponent of the background.
        threshold: Activation below it is none.
        cv_scale: Factor of the coefficient of variation; 0 does not smooth.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        palette: Colours of the masks; None: grey.

    Raises:
        ValueError: A value is out of its range.
    """

    alpha: float = 11.0
    threshold: float = 0.05
    cv_scale: float = 0.3
    crf: dict = field(default_factory=lambda: dict(preset='pmm'))
    palette: Sequence[Sequence[int]] | None = None

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.png'

    def __post_init__(self) -> None:
        check_crf_arguments(self.crf)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cams = read_cam(source, image)
        mask = self.mask(torch.from_numpy(image), torch.from_numpy(stored.labels), cams)
        write_mask(target, mask.numpy().astype(np.uint8), self.palette)

    def mask(self, image: Tensor, classes: Tensor, cams: Tensor) -> Tensor:
        """Label map of one image; also where a class, or all, have no confident pixel.

        Args:
            image: uint8 RGB ``(H, W, 3)``.
            classes: ``(K,)`` int64, 0-based foreground indices.
            cams: ``(K, H, W)`` float32 in [0, 1].

        Returns:
            ``(H, W)`` int64: 0 background, class index + 1.
        """
        smoothed = smooth_activation(cams, self.threshold, self.cv_scale)
        crf = DenseCRF(image, **self.crf)
        foreground = crf.binary(foreground_scores(smoothed, self.alpha)) > 0.5
        return proportional_label(cams, foreground, classes)
