"""What an inferencer is asked: images by name, and where results go; checked before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..utils.checks import (
    check_apart,
    check_distinct_files,
    check_output_folder,
    check_range,
    check_unique,
    some,
)
from ..utils.images import ImageInput, list_images
from ..utils.provenance import check_unclaimed

LABEL_THRESHOLD = 0.1
_RESULTS = ('vis', 'pred', 'cams')


def and_parents(folder: str | os.PathLike) -> list[Path]:
    """A folder and all folders that it lies in."""
    folder = Path(os.path.realpath(folder))
    return [folder, *folder.parents]


def check_request(
    inputs: ImageInput | Sequence[ImageInput],
    label_threshold: float = LABEL_THRESHOLD,
    batch_size: int = 1,
    out_dir: str | os.PathLike = '',
) -> list[tuple[str, ImageInput]]:
    """Check what :class:`~mmwsss.apis.WSSSInferencer` is called with, before a model is needed.

    Returns:
        Name and source of every image.

    Raises:
        FileNotFoundError: No picture in the folder.
        ValueError: A number out of its range; if ``out_dir`` is given, two images of one name, or
            one that a result would overwrite.
        OSError: Nothing can be written into ``out_dir``.
    """
    check_range('label_threshold', label_threshold, 0, 1, open_high=True)
    check_range('batch_size', batch_size, 1, integer=True)
    named = _named(inputs, out_dir)
    if out_dir:
        _check_out(inputs, named, Path(out_dir))
    return named


def _check_out(
    inputs: ImageInput | Sequence[ImageInput], named: list[tuple[str, ImageInput]], out_dir: Path
) -> None:
    folders = {'the output folder': out_dir}
    folders |= {f"the output folder's {kind}": out_dir / kind for kind in _RESULTS}
    if is_folder(inputs):
        check_apart(folders, {'the image folder': inputs})
    names = [name for name, _ in named]
    check_unique('image name', names)
    sources = [source for _, source in named if isinstance(source, str | os.PathLike)]
    targets = [out_dir / kind / f'{name}.png' for kind in ('vis', 'pred') for name in names]
    check_not_overwritten(sources, targets)
    for folder in folders.values():
        check_output_folder(folder)
        check_unclaimed(folder)
    check_distinct_files(out_dir, names)


def _named(
    inputs: ImageInput | Sequence[ImageInput], out_dir: str | os.PathLike
) -> list[tuple[str, ImageInput]]:
    if is_folder(inputs):
        inputs = list_images(inputs, and_parents(out_dir) if out_dir else ())
    elif not isinstance(inputs, list | tuple):
        inputs = [inputs]
    return [
        (Path(source).stem if isinstance(source, str | os.PathLike) else f'{i:08d}', source)
        for i, source in enumerate(inputs)
    ]


def check_not_overwritten(sources: Iterable[str | os.PathLike], targets: Iterable[Path]) -> None:
    """Raise ValueError if one of the ``targets``, to be written, is one of the ``sources``."""
    read = {os.path.realpath(source) for source in sources}
    lost = [target for target in targets if os.path.realpath(target) in read]
    if lost:
        raise ValueError(
            f'{len(lost)} images would be overwritten by results: {some(lost)}. Choose another '
            'output folder.'
        )


def is_folder(inputs: object) -> bool:
    """Whether inputs are the path of a folder."""
    return isinstance(inputs, str | os.PathLike) and os.path.isdir(inputs)
