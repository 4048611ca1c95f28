"""Folder tasks around saliency: making the maps, and labels from them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from ..datasets.activation_source import Maps, fit_maps
from ..datasets.saliency_source import SaliencySource, fit_saliency
from ..ops.saliency import quantize, saliency_guided_label
from ..ops.saliency.degraded import LEVELS, degraded
from ..ops.saliency.operators import OPERATORS
from ..registry import TASK_UTILS
from ..stores.cam_store import load_cam
from ..utils.arguments import FLAG, PALETTE, SHARE, TEXT, checked, one_of
from ..utils.io import IGNORE, check_some_class, read_mask, write_mask


@checked(tau=SHARE, sal_thresh=SHARE, ignore=FLAG, use_saliency=FLAG)
@dataclass(frozen=True)
class LabelRule:
    """How a label map is made of activations and saliency.

    Attributes:
        tau: Threshold of the activations.
        sal_thresh: Threshold of the saliency; 0 leaves it soft.
        ignore: Salient background becomes 255.
        use_saliency: Without it, tau alone separates the background (EPS, L2G: their maps have
            seen saliency).

    Raises:
        ValueError: A value is out of its range.
    """

    tau: float = 0.1
    sal_thresh: float = 0.2
    ignore: bool = True
    use_saliency: bool = True

    def __post_init__(self) -> None:
        if self.ignore and not self.use_saliency:
            raise ValueError('ignore=True needs saliency; set ignore=False or use_saliency=True')


PUBLISHED: dict[str, LabelRule] = {
    'CAM': LabelRule(0.1),
    'OAA': LabelRule(0.3),
    'MCIS': LabelRule(0.5),
    'EDAM': LabelRule(0.5),
    'DRS': LabelRule(0.5),
    'EPS': LabelRule(0.2, ignore=False, use_saliency=False),
    'L2G': LabelRule(0.3, ignore=False, use_saliency=False),
}
"""Settings of the seven sources (wsss_bed/scripts; on VOC and COCO alike)."""


@TASK_UTILS.register_module()
@checked(
    saliency_dir=TEXT,
    preset=one_of(*PUBLISHED),
    tau=SHARE,
    sal_thresh=SHARE,
    ignore=FLAG,
    quantise=FLAG,
    resize=FLAG,
    palette=PALETTE,
)
@dataclass(frozen=True)
class MasksFromSaliency:
    """Pseudo masks of a CAM store and a folder of saliency maps (WSSS-BED, arXiv 2404.00918).

    Attributes:
        saliency_dir: ``<image id>.png`` (8 bits, 255 salient) or ``.npy``; None: not used.
        preset: A source whose published settings are taken (:data:`PUBLISHED`); then ``tau``,
            ``sal_thresh`` and ``ignore`` only replace what they say.
        tau, sal_thresh, ignore: As in :class:`LabelRule`.
        quantise: Round maps to 8 bits, as the published ones are.
        resize: Saliency of another size than the image is resized; otherwise it is an error.
        palette: Colours of the masks; None: grey.

    Raises:
        ValueError: A value is out of its range, saliency is missing or not used, or its maps hold
            only 0 and 1.
    """

    saliency_dir: str | None = None
    preset: str | None = None
    tau: float | None = None
    sal_thresh: float | None = None
    ignore: bool | None = None
    quantise: bool = True
    resize: bool = False
    palette: Sequence[Sequence[int]] | None = None

    source_suffix: ClassVar[str] = '.npz'
    target_suffix: ClassVar[str] = '.png'

    def __post_init__(self) -> None:
        if self.rule.use_saliency != (self.saliency_dir is not None):
            use = 'needs' if self.rule.use_saliency else 'does not use'
            raise ValueError(
                f'saliency_dir={self.saliency_dir!r}, but preset {self.preset} {use} it'
            )

    @property
    def rule(self) -> LabelRule:
        """The settings as they are used."""
        uses = self.saliency_dir is not None
        base = PUBLISHED[self.preset] if self.preset else LabelRule(ignore=uses, use_saliency=uses)
        given = dict(tau=self.tau, sal_thresh=self.sal_thresh, ignore=self.ignore)
        given = {key: value for key, value in given.items() if value is not None}
        return LabelRule(**{**vars(base), **given})

    @property
    def beside(self) -> dict[str, str]:
        """Further folders that are read, with the suffix of their files."""
        if self.saliency_dir is None:
            return {}
        made_later = not os.path.isdir(self.saliency_dir)
        return {self.saliency_dir: '.png' if made_later else self.saliency.suffix}

    @cached_property
    def saliency(self) -> SaliencySource | None:
        """The folder of saliency maps."""
        if self.saliency_dir is None:
            return None
        source = SaliencySource(Path(self.saliency_dir))
        source.check_scale()
        return source

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        size = image.shape[:2]
        stored = load_cam(source, size=size)
        order = stored.labels.argsort()
        maps = Maps(stored.labels[order], stored.cam[order], stored.size)
        activation = fit_maps(maps, size, str(source), as_bytes=self.quantise)
        saliency = None
        if self.saliency is not None:
            values, (path,) = self.saliency.read(source.stem), self.saliency.files(source.stem)
            saliency = fit_saliency(values, size, str(path), self.resize, self.quantise)
        label = decide_label(activation, maps.classes, saliency, self.rule)
        write_mask(target, label.numpy(), self.palette)


def decide_label(
    activation: torch.Tensor, classes: np.ndarray, saliency: torch.Tensor | None, rule: LabelRule
) -> torch.Tensor:
    """Label map ``(H, W)`` of one image by a rule; arguments as
    :func:`mmwsss.ops.saliency.saliency_guided_label` without the batch."""
    return saliency_guided_label(
        activation[None],
        torch.from_numpy(classes)[None],
        None if saliency is None or not rule.use_saliency else saliency[None],
        rule.tau,
        rule.sal_thresh,
        rule.ignore,
    )[0]


@TASK_UTILS.register_module()
@checked(
    method=one_of(*OPERATORS),
)
@dataclass(frozen=True)
class SaliencyFromImages:
    """Saliency maps of an operator without learning; the images are the source.

    Attributes:
        method: One of :data:`mmwsss.ops.saliency.operators.OPERATORS`.

    Raises:
        ValueError: Another method.
    """

    method: str

    source_suffix: ClassVar[str] = ''  # the images themselves
    target_suffix: ClassVar[str] = '.png'

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        write_mask(target, quantize(OPERATORS[self.method](batch)[0]).numpy())


@TASK_UTILS.register_module()
@checked(
    level=one_of(*LEVELS),
)
@dataclass(frozen=True)
class SaliencyFromTruth:
    """True foreground made worse: what a better or poorer saliency model would change.

    An upper bound for experiments. It uses masks, and the folder says so
    (:data:`USES_MASKS`).

    Attributes:
        level: One of :data:`mmwsss.ops.saliency.degraded.LEVELS`.

    Raises:
        ValueError: Another level.
    """

    level: str

    source_suffix: ClassVar[str] = '.png'
    target_suffix: ClassVar[str] = '.png'

    def check_sources(self, sources: Sequence[Path]) -> None:
        """Not all of them may be without a class."""
        check_some_class(sources)

    def __call__(self, image: np.ndarray, source: Path, target: Path) -> None:
        mask = read_mask(source)
        _check_same_size(source, mask.shape, image.shape[:2])
        foreground = torch.from_numpy((mask > 0) & (mask < IGNORE))
        seed = zlib.crc32(source.stem.encode())
        write_mask(target, quantize(degraded(foreground, self.level, seed)).numpy())


USES_MASKS = frozenset({SaliencyFromTruth.__name__})
"""Tasks whose saliency maps have seen masks of the classes."""


def _check_same_size(path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    if tuple(size) != tuple(expected):
        raise ValueError(
            f'{path} is {size[0]} x {size[1]}, its image {expected[0]} x {expected[1]}'
        )
