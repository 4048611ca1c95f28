"""Folder tasks that run the dense CRF on maps or masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mmwsss.utils.arguments import CLASSES, COUNT, PALETTE, POSITIVE, SHARE, checked, number, one_of

from ..ops.dense_crf import DenseCRF, check_crf_arguments, refine_labels, unary_from_scores
from ..ops.pixels import CRF_IMAGES, crf_image
from ..ops.pseudo_label import add_background
from ..ops.resize import reduce_maps, upsample
from ..registry import TASK_UTILS
from ..stores.cam_store import StoredCAM, load_cam
from ..stores.score_store import save_scores
from ..utils.checks import check_range
from ..utils.io import IGNORE, check_some_class, read_mask, write_mask

_DEEPLAB_MEAN = (122.675, 116.669, 104.008)  # RGB
_MAX_FOREGROUND = 254  # masks of 8 bits: 0 is background, 255 unsure


@TASK_UTILS.register_module()
@checked(
    power=POSITIVE, background=SHARE, confidence=SHARE, image=one_of(*CRF_IMAGES), palette=PALETTE
)
@dataclass(frozen=True)
class MasksFromCAMs:
    """Pseudo mask: argmax of the posterior of [background, maps of the image's classes].

    Attributes:
        power: Background score ``(1 - max cam) ** power``, unless ``background`` is given.
        background: Constant background score.
        confidence: Pixels whose best posterior is below it become 255 (0.95 in CLIP-ES).
        image: ``'true'``, or ``'wrapped'`` as in CLIP-ES: :func:`mmwsss.ops.pixels.crf_image`.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        palette: Colours of the masks; None: grey.

    Raises:
        ValueError: A value is out of its range.
    """

    power: float = 1.0
    background: float | None = None
    confidence: float | None = None
    image: str = 'true'
    crf: dict = field(default_factory=dict)
    palette: Sequence[Sequence[int]] | None = None

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.png'

    def __post_init__(self) -> None:
        check_crf_arguments(self.crf)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        named = None if self.palette is None else len(self.palette)
        stored, cam = read_cam(source, image, named)
        write_mask(target, self.mask(image, stored.labels, cam), self.palette)

    def mask(self, image: np.ndarray, labels: np.ndarray, cam: Tensor) -> np.ndarray:
        """Label map of one image.

        Args:
            image: uint8 RGB ``(H, W, 3)``.
            labels: ``(K,)``, 0-based foreground indices.
            cam: ``(K, H, W)`` float on the CPU.

        Returns:
            uint8 ``(H, W)``: 0 background, class index + 1, or 255.
        """
        scores = add_background(cam[None], self.power)[0]
        if self.background is not None:
            scores[0] = self.background
        pixels = torch.from_numpy(image)
        if self.image != 'true':
            mean = torch.tensor(_DEEPLAB_MEAN)
            centred = pixels.permute(2, 0, 1) - mean.view(3, 1, 1)
            pixels = crf_image(centred, mean, torch.ones(3), self.image)
        crf = DenseCRF(pixels, **self.crf)
        best, place = crf(unary_from_scores(scores)).max(dim=0)
        keys = np.concatenate([[0], labels + 1]).astype(np.uint8)
        mask = keys[place.numpy()]
        if self.confidence is not None:
            mask[best.numpy() < self.confidence] = IGNORE
        return mask


@TASK_UTILS.register_module()
@checked(low=POSITIVE, high=POSITIVE, stride=COUNT)
@dataclass(frozen=True)
class LowHighFromCAMs:
    """Scores of AffinityNet's labels: posteriors under a low and a high background exponent.

    ``<image id>.npz`` holds ``labels`` int16 ``(K,)`` and ``low``, ``high`` float16
    ``(1 + K, h, w)``, background first (PSA, arXiv 1803.10464).

    Attributes:
        low, high: Exponents of ``(1 - max cam)``, ``0 < low < high``.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        stride: Store averages over ``stride`` x ``stride`` pixels; 1 stores all.

    Raises:
        ValueError: A value is out of its range.
    """

    low: float = 4.0
    high: float = 32.0
    crf: dict = field(default_factory=dict)
    stride: int = 1

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.npz'

    def __post_init__(self) -> None:
        check_range('high', self.high, self.low, open_low=True)
        check_crf_arguments(self.crf)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        stored, cam = read_cam(source, image)
        crf = DenseCRF(torch.from_numpy(image), **self.crf)
        scores = [add_background(cam[None], power) for power in (self.low, self.high)]
        low, high = reduce_maps(crf(unary_from_scores(torch.cat(scores))), self.stride)
        save_scores(target, stored.labels, low.numpy(), high.numpy())


@TASK_UTILS.register_module()
@checked(gt_prob=number(0, 1, open_low=True, open_high=True), num_labels=CLASSES, palette=PALETTE)
@dataclass(frozen=True)
class MasksFromMasks:
    """Refine label maps, whose labels are taken as certain to ``gt_prob`` (IRN).

    Pixels of 255 are unknown and get a label.

    Attributes:
        gt_prob: Certainty in (0, 1).
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        palette: Colours of the masks; None: grey.
        num_labels: Labels of the CRF (21 in TransCAM's on VOC); None: those that occur in a mask.

    Raises:
        ValueError: A value is out of its range.
    """

    gt_prob: float = 0.7
    crf: dict = field(default_factory=dict)
    palette: Sequence[Sequence[int]] | None = None
    num_labels: int | None = None

    source_suffix: ClassVar[str] = '.png'
    target_suffix: ClassVar[str] = '.png'

    def __post_init__(self) -> None:
        check_crf_arguments(self.crf)

    def check_sources(self, sources: Sequence[Path]) -> None:
        """Not all of them may be without a class."""
        check_some_class(sources)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        labels = torch.from_numpy(read_mask(source))
        refined = refine_labels(
            torch.from_numpy(image), labels, self.gt_prob, num_labels=self.num_labels, **self.crf
        )
        write_mask(target, refined.numpy(), self.palette)


def read_cam(
    source: Path, image: np.ndarray, num_classes: int | None = None
) -> tuple[StoredCAM, Tensor]:
    """Maps at the size of the image; ``num_classes`` counts the background."""
    foreground = _MAX_FOREGROUND if num_classes is None else num_classes - 1
    stored = load_cam(source, foreground, image.shape[:2])
    cam = torch.from_numpy(stored.cam.astype(np.float32))
    return stored, upsample(cam, stored.size)
