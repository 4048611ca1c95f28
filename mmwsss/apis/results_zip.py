"""Results to take away: masks and pictures of many images in one zip file."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image

from ..exporters import FORMATS as EXPORTS
from ..exporters import ExportOptions, Picture, check_format
from ..stores.palettes import colour_table
from ..utils.checks import check_choice, check_output_file, some
from ..utils.io import atomic_write
from ..visualization.panel import overlay_mask
from .results import ImageResult

PNG = 'png'
# What the masks are written as: PNG alone, or with a file for an annotation tool beside them.
FORMATS = (PNG, *EXPORTS)


class ResultsZip:
    """A zip file that is being filled; see :func:`open_zip`."""

    def __init__(
        self,
        file: zipfile.ZipFile,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        mask_format: str,
    ) -> None:
        self._file, self._classes, self._colours = file, list(classes[1:]), colour_table(palette)
        self._export, self._options = EXPORTS.get(mask_format), ExportOptions()
        self._described: list[Any] = []

    def add(self, result: ImageResult) -> None:
        """Add an image.

        ``masks/<name>.png`` of class indices, ``overlays/<name>.jpg``, the mask laid on the
        picture, and what the format says of it.
        """
        name = some([result.name])
        mask = Image.fromarray(result.mask)
        mask.putpalette(self._colours.tobytes())
        self._file.writestr(f'masks/{name}.png', _encoded(mask, 'PNG'))
        picture = overlay_mask(result.image, result.mask, self._colours)
        self._file.writestr(f'overlays/{name}.jpg', _encoded(Image.fromarray(picture), 'JPEG'))
        if self._export is None:
            return
        url = self._export.url(some([result.file_name or f'{result.name}.png']))
        described = self._export.describe(
            Picture(name, url, result.mask), self._classes, self._options
        )
        if self._export.join is None:
            self._file.writestr(f'{self._export.folder}/{name}{self._export.file}', described)
        else:
            self._described.append(described)

    def finish(self) -> None:
        """Write what the format says of all images together."""
        if self._export is None:
            return
        if self._export.join is not None:
            text = self._export.join(self._described, self._classes, self._options)
            self._file.writestr(self._export.file, text)
        for name, make in self._export.beside.items():
            self._file.writestr(name, make(self._classes))


@contextmanager
def open_zip(
    path: str | os.PathLike,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    mask_format: str = PNG,
) -> Iterator[ResultsZip]:
    """Write a zip file, which appears whole or not at all.

    ``classes.txt`` in it names the mask values, one per line, background first.

    Args:
        path: Of the file.
        classes: Names of the mask values.
        palette: Their RGB colours.
        mask_format: One of :data:`FORMATS`: ``'png'``, or what ``tools/export_masks.py`` writes,
            beside the masks.

    Raises:
        ValueError: Unknown format.
        ImportError: ``'coco'`` without pycocotools.
        OSError: The file cannot be written.
    """
    check_zip(path, mask_format)
    with atomic_write(path) as tmp, zipfile.ZipFile(tmp, 'w') as file:
        file.writestr('classes.txt', ''.join(f'{name}\n' for name in classes))
        results = ResultsZip(file, classes, palette, mask_format)
        yield results
        results.finish()


def check_zip(path: str | os.PathLike | None, mask_format: str) -> None:
    """Raise what :func:`open_zip` would raise; None: no file is wanted."""
    check_choice('format', mask_format, FORMATS)
    check_output_file(path)
    if mask_format != PNG:
        check_format(mask_format)


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
