"""Reading and writing files: atomic writes and label-map PNGs."""

import io
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..stores.palettes import colour_table
from .checks import check_palette

IGNORE = 255
_GREY_BITS = re.compile(r'L;([24])\b')  # of a picture's tiles
_LOSSY = ('JPEG', 'JPEG2000', 'MPO', 'WEBP')
BINARY_HINT = (
    '{what} holds a class, but there is 255 ({at}), which means ignored. If these are binary masks '
    'of 0 and 255, store the object as 1 (divide by 255).'
)

_COCO_CLASSES, _LAST_COCO_ID = 81, 90


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
    # Shortened: with what is added, a name of the greatest length would be too long.
    tmp = path.with_name(f'.{path.stem[:40]}.{uuid.uuid4().hex[:12]}{path.suffix}')
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


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 by :func:`atomic_write`."""
    with atomic_write(path) as tmp:
        tmp.write_text(text, encoding='utf-8')


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write indented JSON by :func:`atomic_write`."""
    write_text(path, json.dumps(content, indent=1) + '\n')


def write_arrays(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Write a compressed ``.npz`` by :func:`atomic_write`."""
    with atomic_write(path) as tmp, open(tmp, 'wb') as file:
        np.savez_compressed(file, **arrays)


def read_mask(
    source: str | os.PathLike | bytes, num_classes: int | None = None, name: str | None = None
) -> np.ndarray:
    """Read a label map stored as a paletted or grey PNG.

    Args:
        source: Path, or the content of a file.
        num_classes: Background included: other values than its indices and 255 are an error.
            None: not checked.
        name: Where ``bytes`` came from, for messages.

    Returns:
        uint8 ``(H, W)``, the palette indices or grey values, turned as EXIF says.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is not a readable picture, not a single-channel 8-bit one, or holds
            values that are no classes.
    """
    name = name or (repr(source[:8]) if isinstance(source, bytes) else os.fspath(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            mode, kind = image.mode, image.format
            few_bits = _GREY_BITS.search(str(getattr(image, 'tile', '')))
            mask = np.array(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        raise ValueError(f'{name} cannot be read as a picture: {error}') from error
    if kind in _LOSSY:
        raise ValueError(
            f'{name} is a {kind} file, which does not keep the values of its pixels: save masks as '
            'PNG'
        )
    if mode not in ('P', 'L', '1'):
        raise ValueError(
            f'{name} is not a label map: its mode is {mode}, expected a paletted or 8-bit grey PNG '
            'whose values are class indices.'
        )
    mask = mask.astype(np.uint8)
    if few_bits:  # Pillow spreads the values over 0 to 255
        mask //= 255 // (2 ** int(few_bits[1]) - 1)
    if num_classes is not None:
        check_mask_values(mask, num_classes, name)
    return mask


def check_class_count(num_classes: int, name: str) -> None:
    """Raise ValueError if classes, background included, do not fit into masks of 8 bits."""
    if num_classes > IGNORE:
        raise ValueError(
            f'{name}: there are {num_classes} classes with the background, but masks of 8 bits '
            f'hold {IGNORE} at most, since {IGNORE} means ignored'
        )


def check_mask_values(mask: np.ndarray, num_classes: int, name: str) -> None:
    """Raise ValueError, naming them, if a label map holds values that are no classes.

    Args:
        mask: Of any integer type.
        num_classes: Background included, 255 at most; 0 to ``num_classes - 1`` and 255 are allowed.
        name: What the message calls the map.
    """
    check_class_count(num_classes, name)
    strange = (mask < 0) | ((mask >= num_classes) & (mask != IGNORE))
    if strange.any():
        values = np.unique(mask[strange])
        raise ValueError(
            f'{name} holds the values {values[:10].tolist()}, which are none of the {num_classes} '
            f'classes 0..{num_classes - 1} nor 255 (ignored); '
            + strange_values_hint(values, num_classes)
        )


def strange_values_hint(values: Sequence[int] | np.ndarray, num_classes: int) -> str:
    """What to do about masks whose ``values`` are none of ``num_classes``, background included."""
    if num_classes == _COCO_CLASSES and min(values) > 0 and max(values) <= _LAST_COCO_ID:
        return (
            'these look like raw COCO category ids, 91 with background, by which all classes are '
            'wrong: import the masks as 81 classes by tools/dataset_converters/import_masks.py '
            '--classes coco14 --ids coco91'
        )
    return 'check the class list, and whether the mask stores class indices'


def check_some_class(paths: Sequence[str | os.PathLike]) -> None:
    """Raise ValueError if masks hold 0 and 255 but not one class: binary masks, most likely.

    255 means *ignored*; drawing programs write it for the object. Masks are read until one
    holds a class, which the first one usually does.

    Args:
        paths: Label maps.
    """
    ignored_at = None
    for path in paths:
        mask = read_mask(path)
        if ((mask > 0) & (mask != IGNORE)).any():
            return
        if ignored_at is None and (mask == IGNORE).any():
            ignored_at = path
    if ignored_at is not None:
        what = f'not one of the {len(paths)} masks'
        raise ValueError(BINARY_HINT.format(what=what, at=ignored_at))


def list_files(folder: str | os.PathLike, suffix: str) -> dict[str, Path]:
    """Files ``<id><suffix>`` of a folder by their id, sorted; hidden ones are left out.

    Whatever a writer that was killed left behind is hidden (:func:`atomic_write`), as are the
    files that file managers add.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    names = sorted(name for name in os.listdir(folder) if name.endswith(suffix) and name[0] != '.')
    return {name[: -len(suffix)]: folder / name for name in names}


def is_whole(path: str | os.PathLike) -> bool:
    """Whether a ``.png`` or ``.npz`` file has its end: a look at the last bytes, not a full check.

    Other files only have to be there and not be empty.
    """
    try:
        size = os.path.getsize(path)
        with open(path, 'rb') as file:
            file.seek(max(0, size - 64))
            tail = file.read()
    except OSError:
        return False
    ends = {'.png': b'IEND', '.npz': b'PK\x05\x06'}
    return size > 0 and ends.get(Path(path).suffix, b'') in tail


def write_mask(
    path: str | os.PathLike, mask: np.ndarray, palette: Sequence[Sequence[int]] | None = None
) -> None:
    """Write a label map as PNG, atomically.

    Args:
        path: Target file.
        mask: uint8 ``(H, W)``.
        palette: ``[[r, g, b], ...]`` of the classes: stored as a paletted PNG. Values
            without a colour, such as 255 (ignore), are shown in light grey. None: grey PNG.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(
            f'{path}: a mask must be uint8 (H, W), got {mask.dtype} of shape {mask.shape}.'
        )
    image = Image.fromarray(mask)
    if palette is not None:
        check_palette(palette, 0)
        image.putpalette(colour_table(palette).tobytes())
    with atomic_write(path) as tmp:
        image.save(tmp)
