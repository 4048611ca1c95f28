"""Folders of activation maps, whoever wrote them, read as one thing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..ops.resize import upsample
from ..ops.saliency import quantize
from ..stores.cam_store import check_labels, check_unit, load_cam
from ..utils.checks import check_choice
from ..utils.io import list_files, read_mask
from .converters.cams import read_official_cam
from .label_list import LabelList
from .per_image_files import PerImageFiles


@dataclass
class Maps:
    """Activation maps of an image.

    Attributes:
        classes: int64 ``(K,)``, different 0-based foreground classes.
        values: ``(K, h, w)`` uint8, or floats in [0, 1].
        size: Height and width of the image, where the file says it.
        unlabelled: Classes that the file has but the image labels do not.
        unmapped: Classes of the image labels without a map.
    """

    classes: np.ndarray
    values: np.ndarray
    size: tuple[int, int] | None = None
    unlabelled: list[int] = field(default_factory=list)
    unmapped: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ActivationSource(PerImageFiles):
    """A folder of activation maps; kinds are in :data:`SOURCES`.

    Attributes:
        folder: The folder.
        num_foreground: Number of foreground classes.
        labels: Image labels by image id; the maps of other classes are left out. None: every class
            that has a map.
    """

    folder: Path
    num_foreground: int
    labels: LabelList | None = None

    suffix: ClassVar[str] = '.npz'

    def extra(self, key: str) -> list[int]:
        """Classes of files that the image should not have."""
        return []

    def read(self, key: str) -> Maps:
        """Maps of an image.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Truncated, of another kind, values or classes out of range; names it.
        """
        (path,) = self.files(key)
        return self._labelled(key, *self._read(path))

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int] | None]:
        stored = load_cam(path, self.num_foreground)
        return stored.labels, stored.cam, stored.size

    def _labelled(
        self, key: str, classes: np.ndarray, values: np.ndarray, size: tuple[int, int] | None
    ) -> Maps:
        """Only what the image labels name, classes in order."""
        wanted = self.labels[key] if self.labels is not None else classes.tolist()
        order = [i for i in np.argsort(classes) if classes[i] in wanted]
        unlabelled = [int(c) for c in classes if c not in wanted]
        unmapped = [c for c in wanted if c not in classes]
        return Maps(classes[order], values[order], size, unlabelled, unmapped)


@dataclass(frozen=True)
class PNGSource(ActivationSource):
    """8-bit PNGs ``<image id>_<0-based class>.png`` of the image's size (WSSS-BED)."""

    suffix: ClassVar[str] = '.png'

    @cached_property
    def found(self) -> dict[str, dict[int, Path]]:
        """Files by image id and class; ValueError if two are of one."""
        found: dict[str, dict[int, Path]] = {}
        for stem, path in list_files(self.folder, self.suffix).items():
            key, _, number = stem.rpartition('_')
            if key and number.isdecimal():
                other = found.setdefault(key, {}).setdefault(int(number), path)
                if other != path:
                    raise ValueError(f'{other} and {path} are of one class: remove one')
        return found

    def files(self, key: str) -> list[Path]:
        if self.labels is None:
            paths = [path for _, path in sorted(self.found.get(key, {}).items())]
            return paths or [self.folder / f'{key}_<class>.png']
        return [self.folder / f'{key}_{c}.png' for c in self.labels[key]]

    def ids(self) -> set[str]:
        return set(self.found)

    def extra(self, key: str) -> list[int]:
        labelled = None if self.labels is None else set(self.labels[key])
        return [] if labelled is None else sorted(self.found.get(key, {}).keys() - labelled)

    def read(self, key: str) -> Maps:
        classes = sorted(self.found.get(key, ())) if self.labels is None else self.labels[key]
        classes = check_labels(self.folder / key, np.array(classes, np.int64), self.num_foreground)
        values = [_grey(path) for path in self.files(key)] if len(classes) else []
        sizes = {value.shape for value in values}
        if len(sizes) > 1:
            raise ValueError(f'{self.files(key)[0]} and its classes are of sizes {sorted(sizes)}')
        stack = np.stack(values) if values else np.zeros((0, 1, 1), np.uint8)
        return Maps(classes, stack, sizes.pop() if sizes else None)


def _grey(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.array(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        raise ValueError(f'{path} cannot be read as a picture: {error}') from error
    if mode != 'L':
        raise ValueError(f'{path} has the mode {mode}; an activation map is an 8-bit grey PNG')
    return values


@dataclass(frozen=True)
class OfficialSource(ActivationSource):
    """``.npy`` dictionaries of the official codes
    (:func:`mmwsss.datasets.converters.cams.read_official_cam`)."""

    suffix: ClassVar[str] = '.npy'

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray, None]:
        return *read_official_cam(path, self.num_foreground), None


@dataclass(frozen=True)
class DenseSource(ActivationSource):
    """``.npy`` arrays ``(number of foreground classes, h, w)`` of floats; needs image labels."""

    suffix: ClassVar[str] = '.npy'

    def __post_init__(self) -> None:
        if self.labels is None:
            raise ValueError(f'{self.folder}: maps of all classes need image labels (--labels)')

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray, None]:
        try:
            values = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise
        except Exception as error:  # whatever broken bytes lead to
            raise ValueError(f'{path} cannot be read as an array: {error}') from error
        if values.ndim != 3 or len(values) != self.num_foreground or values.dtype.kind != 'f':
            raise ValueError(
                f'{path} holds {values.dtype} of shape {values.shape}, expected floats '
                f'({self.num_foreground}, h, w)'
            )
        check_unit(path, 'the maps', values)
        return np.arange(len(values)), values, None

    def read(self, key: str) -> Maps:
        maps = super().read(key)
        maps.unlabelled = []
        return maps


@dataclass(frozen=True)
class MaskSource(ActivationSource):
    """Finished label maps ``<image id>.png``: nothing is decided, they are only judged."""

    suffix: ClassVar[str] = '.png'

    def read_mask(self, key: str) -> Tensor:
        """uint8 ``(H, W)``."""
        (path,) = self.files(key)
        return torch.from_numpy(read_mask(path, self.num_foreground + 1))


SOURCES: dict[str, type[ActivationSource]] = {
    'store': ActivationSource,
    'png': PNGSource,
    'npy': OfficialSource,
    'dense': DenseSource,
    'mask': MaskSource,
}


def find_kind(folder: str | os.PathLike) -> str:
    """The kind of a folder of maps by its suffixes.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: It may be several kinds, or none.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'the folder {folder} does not exist')
    suffixes = {'.npz': 'store', '.npy': 'npy', '.png': 'png or mask'}
    kinds = [kind for suffix, kind in suffixes.items() if list_files(folder, suffix)]
    if len(kinds) != 1 or kinds[0] not in SOURCES:
        raise ValueError(
            f'{folder} holds {", ".join(kinds) or "no .npz, .npy or .png"} files: say what it is, '
            f'as in NAME={folder}:png (kinds: {", ".join(SOURCES)})'
        )
    return kinds[0]


def open_source(
    folder: str | os.PathLike,
    kind: str | None,
    num_foreground: int,
    labels: LabelList | None = None,
) -> ActivationSource:
    """The source of a kind.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: No such kind, or it cannot be found out.
    """
    found = find_kind(folder) if kind is None else kind
    check_choice('kind of the maps', found, SOURCES)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'the folder {folder} does not exist')
    return SOURCES[found](Path(folder), num_foreground, labels)


def fit_maps(
    maps: Maps, size: tuple[int, int], name: str, resize: bool = False, as_bytes: bool = True
) -> Tensor:
    """Maps at the size of the image, as bytes (the published form) or as float32.

    Maps that are smaller are resized (bilinear, corners not aligned).

    Args:
        maps: Of an image.
        size: Of the image.
        name: For messages.
        resize: Whether maps that were made for another size of the image are resized or refused.
        as_bytes: Round to 8 bits; otherwise floats stay as they are.

    Returns:
        ``(K, H, W)``.

    Raises:
        ValueError: Made for another size.
    """
    if maps.size not in (None, tuple(size)) and not resize:
        raise ValueError(_other_size(name, maps.size, size))
    values = torch.from_numpy(np.ascontiguousarray(maps.values))
    if values.dtype != torch.uint8:
        values = values.float()
    if len(values) == 0:
        return values.new_zeros(0, *size)
    if tuple(values.shape[1:]) != tuple(size):
        values = values.float() / 255 if values.dtype == torch.uint8 else values
        values = upsample(values, size).clamp(0, 1)
    return quantize(values) if as_bytes and values.dtype != torch.uint8 else values


def _other_size(name: str, got: Iterable[int], expected: Iterable[int]) -> str:
    (a, b), (c, d) = got, expected
    return f'{name} is {a} x {b} (height x width), the image {c} x {d}'
