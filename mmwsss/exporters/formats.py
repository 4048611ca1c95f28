"""What an export format is made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from ..utils.checks import check_choice, check_range

SHAPES = ('rle', 'polygon')


@dataclass(frozen=True)
class Picture:
    """A mask and the image that it belongs to.

    Attributes:
        image_id: Name of the mask without suffix.
        url: What annotations call the image.
        mask: uint8 ``(H, W)``, checked.
    """

    image_id: str
    url: str
    mask: np.ndarray


@dataclass(frozen=True)
class ExportOptions:
    """What a format may be told.

    Attributes:
        shape: ``'rle'`` or ``'polygon'``; None: run lengths where there is a choice.
        tolerance: See :func:`mmwsss.exporters.regions.outline`.
        prefix: What stands before the file names of the images.

    Raises:
        ValueError: Another shape, or a negative tolerance.
    """

    shape: str | None = None
    tolerance: float = 0.0
    prefix: str | None = None

    def __post_init__(self) -> None:
        if self.shape is not None:
            check_choice('shape', self.shape, SHAPES)
        check_range('tolerance', self.tolerance, 0)


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Attributes:
        describe: ``(picture, classes, options)`` -> what is written of one image.
        join: ``(described images, classes, options)`` -> text of the one file; None: every image
            has a file, and ``describe`` gives its text.
        file: Name of the one file, or, beginning with a dot, the suffix of many.
        folder: Where they lie, below the output folder.
        beside: ``{file name: text}`` of classes, what else is written.
        prefix: Of image names, unless another one is given.
        options: Names of the options that it knows.
    """

    describe: Callable[[Picture, Sequence[str], ExportOptions], Any]
    join: Callable[[Iterable[Any], Sequence[str], ExportOptions], str] | None
    file: str
    folder: str = ''
    beside: Mapping[str, Callable[[Sequence[str]], str]] = field(default_factory=dict)
    prefix: str = ''
    options: tuple[str, ...] = ('prefix',)

    def url(self, name: str, prefix: str | None = None) -> str:
        """What annotations call an image; an address on the web has no blanks and marks in names.

        Args:
            name: File name.
            prefix: What stands before it; None: the format's.
        """
        prefix = self.prefix if prefix is None else prefix
        return prefix + (quote(name) if '?' in prefix or '://' in prefix else name)
