"""Saliency maps of images: pictures, arrays, one value for all, or none."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..ops.resize import upsample
from ..ops.saliency import quantize
from ..utils.checks import check_range
from ..utils.io import list_files
from .per_image_files import PerImageFiles

GREY_MODES = ('L', '1')


@dataclass(frozen=True)
class SaliencySource(PerImageFiles):
    """A folder of ``<image id>.png``, 8 bits, 255 salient, or of ``.npy`` floats in [0, 1].

    Pictures with colours count by their luminance, as in WSSS-BED.

    Attributes:
        folder: The folder.

    Raises:
        FileNotFoundError: No such folder, or it holds neither.
        ValueError: It holds both.
    """

    folder: Path
    suffixes: ClassVar[tuple[str, ...]] = ('.png', '.npy')

    def __post_init__(self) -> None:
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f'the saliency folder {self.folder} does not exist')
        kinds = [suffix for suffix in self.suffixes if list_files(self.folder, suffix)]
        if not kinds:
            raise FileNotFoundError(f'the saliency folder {self.folder} holds no .png and no .npy')
        if len(kinds) > 1:
            raise ValueError(f'the saliency folder {self.folder} holds both .png and .npy')

    @cached_property
    def suffix(self) -> str:
        """Of its files."""
        return next(s for s in self.suffixes if list_files(self.folder, s))

    def read(self, key: str) -> np.ndarray:
        """``(H, W)`` uint8, or float32 in [0, 1].

        Raises:
            FileNotFoundError: No such file.
            ValueError: Truncated, of another kind, or values out of range; names it.
        """
        (path,) = self.files(key)
        return _array(path) if self.suffix == '.npy' else read_grey(path)[0]

    def check_scale(self) -> None:
        """Raise ValueError if pictures hold 0 and 1 but nothing above: binary maps, most likely.

        They are read until one holds more, which the first one usually does.
        """
        highest = 0
        for key in sorted(self.ids()) if self.suffix == '.png' else ():
            highest = max(highest, int(self.read(key).max()))
            if highest > 1:
                return
        if highest:
            raise ValueError(
                f'the maps in {self.folder} hold only 0 and 1, so that nothing would be salient; '
                '255 must be the highest'
            )

    def mode(self, key: str) -> str:
        """How a picture stores its values: ``'L'`` is grey; of an array also."""
        (path,) = self.files(key)
        return 'L' if self.suffix == '.npy' else read_grey(path)[1]


@dataclass(frozen=True)
class ConstantSaliency:
    """One value for every pixel: what the maps decide where everything is salient, for example."""

    value: float

    def __post_init__(self) -> None:
        check_range('constant saliency', self.value, 0, 1)

    def ids(self) -> None:
        """Of every image."""

    def files(self, key: str) -> list[Path]:
        """No file."""
        return []

    missing = files

    def read(self, key: str) -> np.ndarray:
        """One pixel, which fits any image."""
        return np.full((1, 1), self.value, np.float32)


def read_grey(source: str | os.PathLike | bytes, name: str | None = None) -> tuple[np.ndarray, str]:
    """8-bit luminance ``(H, W)`` of a picture, turned as EXIF says, and its mode.

    Args:
        source: Path, or the content of a file.
        name: Where the content came from, for messages.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No picture, or one of more than 8 bits; names it.
    """
    path = name or source
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            mode = image.mode
            deep = mode.startswith('I') or mode == 'F'
            values = None if deep else np.array(ImageOps.exif_transpose(image).convert('L'))
    except FileNotFoundError:
        raise
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        raise ValueError(f'{path} cannot be read as a picture: {error}') from error
    if values is None:
        raise ValueError(f'{path} has the mode {mode}; save maps as 8-bit grey, 255 the highest')
    return values, mode


def fit_saliency(
    values: np.ndarray, size: tuple[int, int], name: str, resize: bool, as_bytes: bool = True
) -> Tensor:
    """Saliency at the size of the image, as bytes or float32.

    Args:
        values: ``(h, w)``; a single pixel fits every size.
        size: Of the image.
        name: For messages.
        resize: Whether other sizes are resized (bilinear) or refused.
        as_bytes: Round floats to 8 bits.

    Raises:
        ValueError: Another size.
    """
    found = torch.from_numpy(np.ascontiguousarray(values))
    if tuple(found.shape) == (1, 1):
        found = found.expand(size)
    elif tuple(found.shape) != tuple(size):
        if not resize:
            raise ValueError(
                f'{name} is {found.shape[0]} x {found.shape[1]} (height x width), the image '
                f'{size[0]} x {size[1]}; --resize resizes it'
            )
        found = found.float() / 255 if found.dtype == torch.uint8 else found
        found = upsample(found[None], size)[0].clamp(0, 1)
    return quantize(found) if as_bytes and found.dtype != torch.uint8 else found


def _array(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever broken bytes lead to
        raise ValueError(f'{path} cannot be read as an array: {error}') from error
    if values.ndim != 2 or values.dtype.kind != 'f':
        raise ValueError(
            f'{path} holds {values.dtype} of shape {values.shape}, expected floats (H, W)'
        )
    if not ((values >= 0) & (values <= 1)).all():
        low, high = values.min(), values.max()
        raise ValueError(f'{path}: saliency from {low:.3g} to {high:.3g}, outside [0, 1]')
    return values.astype(np.float32)
