"""Results to take away: masks and pictures of many images in one zip file."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image

from ..utils.checks import check_choice, check_output_file, some
from ..utils.io import IGNORE, atomic_write
from ..visualization.panel import IGNORE_COLOUR, overlay_mask
from .results import ImageResult

Files = Iterator[tuple[str, bytes]]


def png_masks(result: ImageResult, palette: Sequence[Sequence[int]]) -> Files:
    """The mask as paletted PNG of class indices."""
    image = Image.fromarray(result.mask)
    image.putpalette(_colours(palette).tobytes())
    yield f'masks/{result.name}.png', _encoded(image, 'PNG')


# What a mask is written as, by the name that command lines and the page offer: a function of an
# image's result and the palette, whose files go into the zip.
FORMATS: dict[str, Callable[[ImageResult, Sequence[Sequence[int]]], Files]] = {'png': png_masks}


class ResultsZip:
    """A zip file that is being filled; see :func:`open_zip`."""

    def __init__(
        self, file: zipfile.ZipFile, palette: Sequence[Sequence[int]], mask_format: str
    ) -> None:
        self._file, self._palette, self._files = file, palette, FORMATS[mask_format]

    def add(self, result: ImageResult) -> None:
        """Add an image: its mask, and the mask laid on the picture as ``overlays/<name>.jpg``."""
        picture = overlay_mask(result.image, result.mask, _colours(self._palette))
        overlay = f'overlays/{result.name}.jpg', _encoded(Image.fromarray(picture), 'JPEG')
        for name, content in (*self._files(result, self._palette), overlay):
            self._file.writestr(some([name]), content)


@contextmanager
def open_zip(
    path: str | os.PathLike,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    mask_format: str = 'png',
) -> Iterator[ResultsZip]:
    """Write a zip file, which appears whole or not at all.

    ``classes.txt`` in it names the mask values, one per line, background first.

    Args:
        path: Of the file.
        classes: Names of the mask values.
        palette: Their RGB colours.
        mask_format: One of :data:`FORMATS`.

    Raises:
        ValueError: Unknown format.
        OSError: The file cannot be written.
    """
    check_choice('format', mask_format, FORMATS)
    check_output_file(path)
    with atomic_write(path) as tmp, zipfile.ZipFile(tmp, 'w') as file:
        file.writestr('classes.txt', ''.join(f'{name}\n' for name in classes))
        yield ResultsZip(file, palette, mask_format)


def _colours(palette: Sequence[Sequence[int]]) -> np.ndarray:
    colours = np.zeros((256, 3), np.uint8)
    colours[IGNORE] = IGNORE_COLOUR
    colours[: len(palette)] = np.asarray(palette, np.uint8)
    return colours


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
