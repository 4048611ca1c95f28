"""Reading any picture as 8-bit RGB, the way up in which a viewer shows it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif')
ImageInput = str | os.PathLike | Image.Image | np.ndarray


def read_rgb(source: ImageInput) -> np.ndarray:
    """Read a picture of any mode: grey, paletted, transparent, 16 bits, rotated by EXIF.

    Transparent pixels are laid on white, 16-bit values lose their low byte (as OpenCV does), of an
    animation the first frame is taken.

    Args:
        source: Path, PIL image, or array uint8 or uint16 ``(H, W)``, ``(H, W, 1)``, or BGR as
            OpenCV and ``mmcv.imread`` give it, ``(H, W, 3)`` or ``(H, W, 4)``.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An address on the web, a file that is broken or no picture, an array of
            another kind.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source)
    path = os.fspath(source)
    if '://' in path:
        raise ValueError(f'{path}: images are read from files only; download it first')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'image {path} does not exist')
    try:
        with Image.open(path) as image:
            return _from_pil(image)
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        reason = f'{type(error).__name__}: {error}'
        raise ValueError(f'image {path} cannot be read, it is broken ({reason})') from error


def list_images(folder: str | os.PathLike) -> list[Path]:
    """The pictures of a folder by their suffix, sorted; hidden files and subfolders are left out.

    Raises:
        FileNotFoundError: No such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != '.'
    )
    if not found:
        raise FileNotFoundError(f'{folder} holds no image ({", ".join(IMAGE_SUFFIXES)})')
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
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I') or image.mode == 'F':
        return _from_array(_wide_grey(image))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        paper = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(paper, image)
    return np.array(image.convert('RGB'))


def _wide_grey(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if image.mode == 'F' or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f'mode {image.mode} with values {values.min()} to {values.max()}')
    return values.astype(np.uint16)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
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
