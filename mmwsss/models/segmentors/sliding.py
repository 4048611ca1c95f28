"""Tests on images that are brought to one size, and by sliding windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmwsss.ops.multi_view.windows import keep_ratio_size, resize_pixels, slide
from mmwsss.utils.checks import check_range

from .base import TestSettings


@dataclass(frozen=True)
class SlidingSettings(TestSettings):
    """As :class:`TestSettings`.

    Attributes:
        fit: Long and short side of a rectangle into which every image is resized before anything
            else; ``scales`` are factors on it (mmseg's ``(2048, 512)``), and ``resize`` is not
            used. None: ``scales`` are factors on the image.
        crop: Sliding windows of this side; None: whole images.
        stride: Pixels between two windows.
        batch: Windows and mirror images per forward pass.
    """

    fit: Sequence[int] | None = None
    crop: int | None = None
    stride: int | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.crop', self.crop, 1, integer=True)
        check_range('test_cfg.stride', self.stride, 1, integer=True)
        check_range('test_cfg.batch', self.batch, 1, integer=True)
        if (self.crop is None) != (self.stride is None):
            raise ValueError('test_cfg.crop and test_cfg.stride belong together: give both or none')
        if self.crop is not None and self.stride > self.crop:
            raise ValueError(
                f'test_cfg.stride={self.stride} leaves gaps between windows of {self.crop} pixels: '
                'it must not exceed test_cfg.crop'
            )
        if self.fit is not None:
            if not isinstance(self.fit, Sequence) or len(self.fit) != 2:
                raise ValueError(f'test_cfg.fit must be two sides, got {self.fit!r}')
            for side in self.fit:
                check_range('test_cfg.fit', side, 1, integer=True)


def fitted_views(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    settings: SlidingSettings,
    mean: Tensor,
    std: Tensor,
) -> Iterator[Tensor]:
    """Logits of every view, those of mirror images mirrored back.

    Args:
        forward: ``(N, 3, h, w)`` -> ``(N, C, h', w')``.
        inputs: Normalised images ``(B, 3, H, W)``.
        settings: ``fit``, ``scales``, ``flip``, ``crop``, ``stride`` and ``batch``.
        mean, std: The normalisation, ``(3, 1, 1)``.

    Yields:
        ``(B, C, h, w)`` at the size of the view.
    """
    sides = settings.fit or (max(inputs.shape[-2:]), min(inputs.shape[-2:]))
    for scale in settings.scales:
        size = keep_ratio_size(inputs.shape[-2:], [side * scale for side in sides])
        view = resize_pixels(inputs, size, mean, std)
        view = torch.cat([view, view.flip(-1)]) if settings.flip else view
        logits = windows(forward, view, settings)
        if settings.flip:
            plain, mirrored = logits.chunk(2)
            yield plain
            yield mirrored.flip(-1)
        else:
            yield logits


def windows(forward: Callable[[Tensor], Tensor], view: Tensor, settings: SlidingSettings) -> Tensor:
    """Logits ``(B, C, H, W)`` of a view at its own size, by windows if the settings say so."""
    crop = (settings.crop,) * 2 if settings.crop else view.shape[-2:]
    stride = (settings.stride,) * 2 if settings.stride else crop
    return slide(forward, view, crop, stride, settings.batch)
