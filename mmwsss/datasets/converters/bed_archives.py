"""The archives of activation and saliency maps that WSSS-BED has released."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from mmengine.utils import track_iter_progress

from ...stores.cam_store import save_cam
from ...utils.checks import check_apart, check_choice, some
from ...utils.io import atomic_write
from ...utils.provenance import claim, drop_leftovers
from ..saliency_source import read_grey

MODELS = ('DSS', 'PFAN', 'PoolNet', 'VST')
_VOC_DATA = ('MSRA', 'MSRA_HKU', 'DUTS', 'COCO', 'COCO20')
_COCO_DATA = _VOC_DATA[:3]
_CLASSES = {'VOC2012': 20, 'COCO': 80}


@dataclass(frozen=True)
class _Picture:
    """A file of an archive or folder: how it is read, and the file on the disk that holds it."""

    read: Callable[[], bytes]
    path: Path


_Files = Mapping[str, _Picture]


def _saliencies(data: tuple[str, ...]) -> list[str]:
    return [f'{model}_{name}' for model in MODELS for name in data]


def activation_keys() -> list[str]:
    """The 87 archives of activation maps (release ``act_maps``)."""
    voc = [*_saliencies(_VOC_DATA), 'MOVE', 'DeepUSPS']
    shipped = [f'sal_{name}' for name in ('OAA', 'DRS', 'EDAM', 'EPS', 'L2G')]
    coco = [*_saliencies(_COCO_DATA), 'MOVE']
    return [
        *(f'VOC2012_{name}' for name in ('CAM', 'OAA', 'MCIS', 'DRS', 'EDAM')),
        *(f'VOC2012_{name}_{s}' for name in ('EPS', 'L2G') for s in (*voc, *shipped)),
        *(f'COCO_{name}' for name in ('CAM', 'DRS')),
        *(f'COCO_{name}_{s}' for name in ('EPS', 'L2G') for s in coco),
    ]


def saliency_keys() -> list[str]:
    """The 43 archives of saliency maps (release ``sal_maps``)."""
    return [
        *(f'VOC2012_{s}' for s in ('MOVE', 'DeepUSPS')),
        *(f'VOC2012_sal_{s}' for s in ('OAA', 'DRS', 'EDAM', 'EPS', 'L2G')),
        *(f'VOC2012_{s}' for s in _saliencies(_VOC_DATA)),
        *(f'COCO2014_{s}' for s in ('MOVE', 'DeepUSPS', 'sal_EPS', 'sal_L2G')),
        *(f'COCO2014_{s}' for s in _saliencies(_COCO_DATA)),
    ]


def find_archives(folder: str | os.PathLike) -> dict[str, Path]:
    """Released archives ``<key>.zip``, or unpacked folders ``<key>``, by their key.

    Raises:
        FileNotFoundError: No such folder, or nothing of the kind in it.
        ValueError: A key is there as archive and as folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'the folder {folder} does not exist')
    found: dict[str, Path] = {}
    for key in (*activation_keys(), *saliency_keys()):
        paths = [p for p in (folder / f'{key}.zip', folder / key) if p.exists()]
        if len(paths) > 1:
            raise ValueError(f'{folder} holds {key} as archive and as folder: move one away')
        if paths:
            found[key] = paths[0]
    if not found:
        raise FileNotFoundError(
            f'{folder} holds none of the released archives, such as {activation_keys()[0]}.zip and '
            f'{saliency_keys()[0]}.zip'
        )
    return found


def import_archive(
    source: str | os.PathLike, key: str, out: str | os.PathLike, restart: bool = False
) -> int:
    """Activation maps become a CAM store, saliency maps a folder of ``<image id>.png``.

    A run that was interrupted goes on where it stopped. Maps of 8 bits survive a CAM store:
    rounded to 8 bits again, its values are the same bytes.

    Args:
        source: Archive or folder.
        key: Its name among those of :func:`activation_keys` and :func:`saliency_keys`.
        out: Folder to write to.
        restart: Throw away what it holds of other settings or files.

    Returns:
        The number of images.

    Raises:
        ValueError: Unknown key, names or pictures that do not fit, or ``out`` holds files of other
            settings or images; names the files.
    """
    check_choice('archive', key, [*activation_keys(), *saliency_keys()])
    check_apart({'the output folder': out}, {'the archive': source})
    maps = key in activation_keys()
    suffix = '.npz' if maps else '.png'
    settings = dict(made_by='import_archive', key=key, source=os.path.realpath(source))
    with _opened(source) as files:
        if not files:
            raise ValueError(f'{source} holds no .png file')
        groups = _by_image(source, key, files) if maps else {name: {0: name} for name in files}
        inputs = {
            image: sorted({files[name].path for name in names.values()})
            for image, names in groups.items()
        }
        done = claim(out, suffix, settings, inputs, restart)
        drop_leftovers(out, suffix, inputs, restart)
        for image in track_iter_progress([name for name in groups if name not in done]):
            target = Path(out, f'{image}{suffix}')
            if maps:
                _store(target, files, groups[image])
            else:
                _copy(target, files[image].read())
    return len(groups)


@contextmanager
def _opened(source: str | os.PathLike) -> Iterator[_Files]:
    """PNGs by their name without folder and suffix, whatever folders are around them."""
    if os.path.isdir(source):
        paths = [path for path in sorted(Path(source).rglob('*')) if _is_png(path.name)]
        yield _unique(source, [(path.name, _Picture(path.read_bytes, path)) for path in paths])
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f'{source} cannot be read as a zip archive: {error}') from error
    with archive:
        members = ((_file_name(info), info) for info in archive.infolist() if not info.is_dir())
        read = partial(_read_member, archive, source)
        files = [
            (name, _Picture(partial(read, info), Path(source)))
            for name, info in members
            if _is_png(name)
        ]
        yield _unique(source, files)


def _file_name(info: zipfile.ZipInfo) -> str:
    """Without folders, which some Windows programs separate by backslashes."""
    return info.filename.replace('\\', '/').rpartition('/')[2]


def _is_png(name: str) -> bool:
    """Whether it is a picture, not what macOS leaves beside each (``._name.png``)."""
    return name.lower().endswith('.png') and name[0] != '.'


def _read_member(
    archive: zipfile.ZipFile, source: str | os.PathLike, info: zipfile.ZipInfo
) -> bytes:
    try:
        return archive.read(info)
    # NotImplementedError: a packing that zipfile lacks; RuntimeError: a password is needed
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ValueError(
            f'{source}: {info.filename} cannot be read ({error}). Download the archive again, or '
            'give a folder with its unpacked files.'
        ) from error


def _unique(source: str | os.PathLike, files: Iterable[tuple[str, _Picture]]) -> _Files:
    found: dict[str, _Picture] = {}
    for name, picture in files:
        stem = PurePosixPath(name).stem
        if stem in found:
            raise ValueError(f'{source} holds {stem}.png in two folders')
        found[stem] = picture
    return found


def _by_image(
    source: str | os.PathLike, key: str, names: Collection[str]
) -> dict[str, dict[int, str]]:
    count, groups, strange = _CLASSES[key.partition('_')[0]], {}, []
    for name in names:
        image, _, number = name.rpartition('_')
        if image and number.isdecimal() and int(number) < count:
            other = groups.setdefault(image, {}).setdefault(int(number), name)
            if other != name:
                raise ValueError(f'{source}: {other} and {name} are of one class: remove one')
        else:
            strange.append(name)
    if strange:
        raise ValueError(
            f'{source}: {len(strange)} of {len(names)} files are not called <image id>_<class '
            f'0..{count - 1}>.png: {some(strange)}'
        )
    return groups


def _store(target: Path, files: _Files, names: Mapping[int, str]) -> None:
    classes = sorted(names)
    maps = [read_grey(files[names[c]].read(), names[c])[0] for c in classes]
    if len({one.shape for one in maps}) > 1:
        raise ValueError(f'{names[classes[0]]} and its other classes are of different sizes')
    cam = np.stack(maps).astype(np.float32) / 255
    save_cam(target, np.array(classes), cam, maps[0].shape)


def _copy(target: Path, content: bytes) -> None:
    read_grey(content, target.name)
    with atomic_write(target) as tmp:
        tmp.write_bytes(content)
