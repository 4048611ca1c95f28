"""Reading any picture as 8-bit RGB, the way up in which a viewer shows it; folders of pictures."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps

from .checks import check_look_different, some, spelling_hint

IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif',
)  # fmt: skip
# Pictures that are not read here, but whose names stand in annotations.
_OTHER_PICTURES = ('.heic', '.heif', '.avif', '.jp2', '.j2k', '.dng', '.raw', '.ppm', '.pgm')
# What lies beside pictures and is none: annotations, lists, what file managers leave.
COMPANIONS = (
    '.xml', '.json', '.txt', '.csv', '.tsv', '.yaml', '.yml', '.md', '.npz', '.npy', '.db', '.ini',
)  # fmt: skip
_NOT_XML = re.compile('[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
_BLACK_BELOW = 1 << 12  # values of 10 or 12 bits in a file of 16, as cameras and scanners leave
ImageInput = str | os.PathLike | Image.Image | np.ndarray


def read_rgb(source: ImageInput | bytes, name: str | None = None) -> np.ndarray:
    """Read a picture of any mode: grey, paletted, transparent, 16 bits, rotated by EXIF.

    Transparent pixels are laid on white, 16-bit values lose their low byte (as OpenCV does), of an
    animation the first frame is taken.

    Args:
        source: Path, content of a file, PIL image, or array uint8 or uint16 ``(H, W)``,
            ``(H, W, 1)``, or BGR as OpenCV and ``mmcv.imread`` give it, ``(H, W, 3)`` or
            ``(H, W, 4)``.
        name: Where ``bytes`` came from, for messages.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An address on the web, a file that is broken or no picture, an array of
            another kind, values of 12 bits or less in 16.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _decode(source, getattr(source, 'filename', '') or name or 'in memory')
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name or 'in memory')
    path = os.fspath(source)
    if '://' in path:
        raise ValueError(f'{path}: images are read from files only; download it first')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'image {some([path])} does not exist')
    return _decode(path, path)


class _OtherValuesError(ValueError):
    """A whole picture, but its values cannot be shown as 8 bits."""


def _decode(file: str | io.BytesIO | Image.Image, name: str) -> np.ndarray:
    try:
        if isinstance(file, Image.Image):
            return _from_pil(file)
        with Image.open(file) as image:
            return _from_pil(image)
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        raise _unreadable(name, error) from error


def _unreadable(name: str | os.PathLike, error: Exception) -> ValueError:
    if isinstance(error, _OtherValuesError):
        return ValueError(
            f'image {some([name])} is of {error}; save it with 8 bits, or with values that use all '
            '16'
        )
    if isinstance(error, OSError) and error.errno:
        return ValueError(
            f'image {some([name])} cannot be read ({error.strerror}). Check its permissions and '
            'the disk.'
        )
    reason = some([f'{type(error).__name__}: {error}'])
    return ValueError(
        f'image {some([name])} cannot be read, it is broken ({reason}). '
        'Repair or replace it, or take it out of the folder and the split list.'
    )


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of a picture as :func:`read_rgb` gives it, from the head of the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No picture.
    """
    try:
        with Image.open(path) as image:
            if image.format == 'TIFF' and _lies(image):
                image.load()  # turns it; depending on Pillow's version, its size is turned before
            width, height = image.size
            turned = _lies(image)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def _lies(image: Image.Image) -> bool:
    """Whether EXIF wants a picture to be turned by a right angle."""
    return image.getexif().get(0x0112, 1) in (5, 6, 7, 8)


def image_id_of(name: str) -> str:
    """Image id of a file name in an annotation: without folders of any system, without suffix.

    Only the suffix of a picture counts as one: dots may be part of the id.

    Example:
        >>> image_id_of('data/a.jpg'), image_id_of('2019.05.11_x'), image_id_of('b.1.PNG')
        ('a', '2019.05.11_x', 'b.1')
    """
    base = PurePosixPath(name.strip().replace('\\', '/')).name
    stem, dot, suffix = base.rpartition('.')
    known = f'.{suffix.lower()}' in (*IMAGE_SUFFIXES, *_OTHER_PICTURES)
    return stem if dot and stem and known else base


@dataclass
class ImageFolder:
    """The pictures of a folder.

    Attributes:
        folder: The folder.
        found: Paths by image id (the file name without suffix), in the order of the names.
        left_out: What was not taken, by its kind: files of other suffixes, broken links,
            subfolders, names that cannot be written down.
    """

    folder: Path
    found: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def describe_left_out(self) -> str:
        """One line that counts by kind and names some; empty if there is nothing."""
        parts = [
            f'{len(paths)} x {some([kind])} ({some(p.name for p in paths)})'
            for kind, paths in self.left_out.items()
        ]
        return f'left out in {some([self.folder])}: {"; ".join(parts)}' if parts else ''


def scan_images(folder: str | os.PathLike, skip: Iterable[str | os.PathLike] = ()) -> ImageFolder:
    """Find the pictures of a folder by their suffix, and what else is there.

    Hidden files, and files of the kinds that usually lie beside pictures (annotations, lists),
    count as neither.

    Args:
        folder: The folder; subfolders are not searched.
        skip: Subfolders that are not reported, such as one that is written to.

    Raises:
        FileNotFoundError: No such folder, or no picture in it.
        ValueError: Two pictures have the same image id; names both.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    result = ImageFolder(folder)
    skipped = {os.path.realpath(path) for path in skip}
    for path in sorted(folder.iterdir()):
        if path.name[0] == '.' or os.path.realpath(path) in skipped:
            continue
        kind = _why_left_out(path)
        if kind:
            result.left_out.setdefault(kind, []).append(path)
        elif kind is None and result.found.setdefault(path.stem, path) != path:
            raise ValueError(
                f'{result.found[path.stem]} and {path} have the same image id {path.stem!r}; '
                'rename one, or take it out of the folder'
            )
    check_look_different(f'{folder}', result.found)
    if not result.found:
        rest = f'; {result.describe_left_out()}' if result.left_out else ''
        known = ', '.join(IMAGE_SUFFIXES)
        raise FileNotFoundError(f'{folder} holds no image ({known}){rest}: name another folder')
    return result


def _why_left_out(path: Path) -> str | None:
    """The kind of what is left out; ``''`` for what is no matter of pictures; None: a picture."""
    suffix = path.suffix.lower()
    if path.is_symlink() and not path.exists():
        return 'broken link'
    if path.is_dir():
        return 'subfolder'
    if suffix in COMPANIONS:
        return ''
    if suffix not in IMAGE_SUFFIXES:
        return f'unsupported {suffix or "file without suffix"}'
    if not path.is_file():
        return 'no regular file'
    return unwritable_name(path.stem)


def unwritable_name(image_id: str) -> str | None:
    """Why a name cannot stand in a list with one per line, or in XML; None if it can."""
    try:
        image_id.encode('utf-8')
    except UnicodeEncodeError:
        return 'name that is not UTF-8'
    if image_id != image_id.strip().strip('\ufeff') or len(image_id.splitlines()) != 1:
        return 'name with blanks at its ends or line breaks'
    if _NOT_XML.search(image_id):
        return 'name with control characters'
    return None


def list_images(folder: str | os.PathLike, skip: Iterable[str | os.PathLike] = ()) -> list[Path]:
    """The pictures of a folder, sorted; what is left out is logged as a warning.

    Arguments and errors are those of :func:`scan_images`.
    """
    scanned = scan_images(folder, skip)
    if scanned.left_out:
        print_log(scanned.describe_left_out(), 'current', logging.WARNING)
    return list(scanned.found.values())


def find_images(folder: str | os.PathLike, ids: Iterable[str]) -> dict[str, Path]:
    """The pictures of given ids, whatever else lies in the folder.

    Raises:
        FileNotFoundError: No such folder, or pictures are missing (counted and named).
        ValueError: Two pictures have one of the ids; names both.
    """
    folder, wanted = Path(folder), set(ids)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.stem in wanted and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            if path.name[0] == '.' or found.setdefault(path.stem, path) == path:
                continue
            raise ValueError(
                f'{found[path.stem]} and {path} have the same image id {path.stem!r}: which is '
                'the picture? Move the other one, a mask for example, to a folder of its own.'
            )
    missing = sorted(wanted - set(found))
    if missing:
        links = [path.name for path in sorted(folder.iterdir()) if path.stem in missing]
        hint = f' (broken: {some(links)})' if links else ''
        raise FileNotFoundError(
            f'{folder} has no image for {len(missing)} of {len(wanted)} ids: {some(missing)}'
            f'{hint or spelling_hint(missing, os.listdir(folder))}'
        )
    return found


def fit_sides(image: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    """Resize uint8 RGB ``(H, W, 3)`` so that its sides lie between two bounds, if they do not.

    The aspect is kept; the upper bound wins where both cannot be met.
    """
    height, width = image.shape[:2]
    scale = max(1.0, min_side / min(height, width))
    scale = min(scale, max_side / max(height, width))
    size = tuple(max(1, round(side * scale)) for side in (width, height))
    if size == (width, height):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _from_pil(image: Image.Image) -> np.ndarray:
    reduced = ';16' in str(getattr(image, 'tile', ''))  # Pillow keeps the high bytes of colours
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I') or image.mode == 'F':
        return _from_array(_wide_grey(image))
    if reduced:
        _check_not_black(256 * int(np.asarray(image.convert('RGB')).max()) + 255)
    if image.has_transparency_data:
        image = image.convert('RGBA')
        paper = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(paper, image)
    return np.array(image.convert('RGB'))


def _wide_grey(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if image.mode == 'F' or values.min() < 0 or values.max() > 0xFFFF:
        span = f'{values.min()} to {values.max()}'
        raise _OtherValuesError(f'mode {image.mode} with values {span}')
    return values.astype(np.uint16)


def _high_byte(array: np.ndarray) -> np.ndarray:
    _check_not_black(int(array.max(initial=0)))
    return (array >> 8).astype(np.uint8)


def _check_not_black(highest: int) -> None:
    if 0 < highest < _BLACK_BELOW:
        raise _OtherValuesError(f'16 bits with values of up to {highest}, which would be black')


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint16:
        array = _high_byte(array)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if grey:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not colour or array.size == 0:
        raise ValueError(
            f'expected a uint8 or uint16 image (H, W), (H, W, 1), or BGR (H, W, 3 or 4), got '
            f'{array.dtype} of shape {array.shape}'
        )
    if array.shape[2] == 3:
        return np.ascontiguousarray(array[..., ::-1])
    return _from_pil(Image.fromarray(np.ascontiguousarray(array[..., [2, 1, 0, 3]])))
