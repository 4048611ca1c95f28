"""Reading and writing files: atomic writes and label-map PNGs."""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file so that it appears whole or not at all.

    Yields a temporary path in the folder of ``path`` with the same extension (some writers
    choose the format by it). On success it replaces ``path``, on failure it is removed.
    Missing parent folders are made.

    Raises:
        OSError: The folder cannot be made or is not writable. Raised before the block runs,
            so no long computation is lost.

    Example:
        >>> with atomic_write('out/labels.json') as tmp:
        ...     tmp.write_text('{}')
    """
    path = Path(path)
    tmp = path.with_name(f'.{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp.touch(exist_ok=False)
    except OSError as error:
        raise OSError(
            f'Cannot write {path}: the folder {path.parent} is not writable ({error}). '
            'Choose another output folder or change its permissions.'
        ) from error
    try:
        yield tmp
        os.replace(tmp, path)
    finally:
        tmp.unlink(missing_ok=True)


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a label map stored as a paletted or grey PNG.

    Returns:
        uint8 ``(H, W)``, the palette indices or grey values.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is not a readable picture, or not a single-channel 8-bit one.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ('P', 'L', '1'):
                raise ValueError(
                    f'{path} is not a label map: its mode is {image.mode}, expected a paletted '
                    'or 8-bit grey PNG whose values are class indices.'
                )
            return np.array(image, dtype=np.uint8)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError) as error:
        raise ValueError(f'{path} cannot be read as a picture: {error}') from error


def write_mask(
    path: str | os.PathLike, mask: np.ndarray, palette: Sequence[Sequence[int]] | None = None
) -> None:
    """Write a label map as PNG, atomically.

    Args:
        path: Target file.
        mask: uint8 ``(H, W)``.
        palette: ``[[r, g, b], ...]`` of the classes: stored as a paletted PNG. Value 255
            (ignore) is shown in light grey unless the palette has 256 entries. None: grey PNG.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(
            f'{path}: a mask must be uint8 (H, W), got {mask.dtype} of shape {mask.shape}.'
        )
    image = Image.fromarray(mask)
    if palette is not None:
        colours = np.zeros((256, 3), dtype=np.uint8)
        colours[255] = 224
        colours[: len(palette)] = np.asarray(palette, dtype=np.uint8)
        image.putpalette(colours.tobytes())
    with atomic_write(path) as tmp:
        image.save(tmp)
