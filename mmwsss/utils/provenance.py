"""What the files of a folder were made from, so that nothing goes on with something else.

A writer that can be interrupted calls :func:`claim` before its first output. The folder then holds
``made_from.json``: the settings, and size and time of every input file. The next run may go on only
if nothing of it differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from .checks import check_distinct_files, check_output_folder, some
from .io import is_whole, list_files, write_json
from .text import read_json

RECORD = 'made_from.json'
_LOCK = '.lock'
RESTART = 'or say --restart to throw them away and start anew'
_MISSING = '(not set)'


class ChangedError(ValueError):
    """A folder holds results of other settings or inputs."""


def claim(
    folder: str | os.PathLike,
    suffix: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Iterable[str | os.PathLike]],
    restart: bool = False,
) -> set[str]:
    """Take a folder for files ``<id><suffix>`` made with some settings from some inputs.

    Args:
        folder: Made if it is missing.
        suffix: Of the files to be written.
        settings: Everything else that they depend on; must be JSON.
        inputs: The files that each id is made from.
        restart: Remove what was made otherwise instead of refusing. Files of unknown origin are
            never removed.

    Returns:
        The ids of ``inputs`` that are done: made from just this, and whole.

    Raises:
        ChangedError: The folder holds files of other settings or inputs, or of unknown origin.
    """
    folder, path = Path(folder), Path(folder, RECORD)
    check_output_folder(folder)
    check_distinct_files(folder, inputs)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):  # another run may do other images of the same folder
        products = list_files(folder, suffix)
        stamps = {key: [stamp(source) for source in paths] for key, paths in inputs.items()}
        settings = as_json(settings)
        if check_claim(folder, suffix, settings, inputs, restart):
            for product in products.values():
                product.unlink()
            products = {}
            path.unlink()
        earlier = read_record(path) if path.is_file() else {}
        files = {**earlier.get('files', {}), **stamps}
        if earlier != (record := dict(settings=settings, files=files)):
            write_json(path, record)
    return {key for key in stamps if key in products and is_whole(products[key])}


def check_claim(
    folder: str | os.PathLike,
    suffix: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Iterable[str | os.PathLike]],
    restart: bool = False,
) -> str:
    """Raise what :func:`claim` would raise, and change nothing.

    A writer to several folders looks at all of them before the first one is taken, lest
    ``restart`` throws away files of one although another one is refused.

    Returns:
        What has changed and is to be thrown away; empty if nothing is.
    """
    folder, path = Path(folder), Path(folder, RECORD)
    products = list_files(folder, suffix)
    if not path.is_file():
        if products:
            raise ChangedError(
                f'{folder} holds {len(products)} {suffix} files but no {RECORD}, so it is not '
                'known what they were made from. Use another folder, or move them away.'
            )
        return ''
    stamps = {key: [stamp(source) for source in paths] for key, paths in inputs.items()}
    record = read_record(path)
    if foreign := [key for key in products if key not in record['files']]:
        raise ChangedError(
            f'{folder} holds {suffix} files that it was not known to have: {some(foreign)}. Move '
            'them away, or use another folder.'
        )
    why = _difference(record, as_json(settings), stamps, products)
    if why and not restart:
        raise ChangedError(f'{folder} {why}. Use another folder, {RESTART}.')
    return why


def check_unclaimed(folder: str | os.PathLike) -> None:
    """Raise ChangedError if a folder says what its files were made from: no place for others."""
    if Path(folder, RECORD).is_file():
        raise ChangedError(
            f'{folder} holds results of another tool, which it has noted in {RECORD} and would go '
            'on with. Use another folder.'
        )


def drop_leftovers(
    folder: str | os.PathLike, suffix: str, ids: Collection[str], restart: bool = False
) -> None:
    """See that a folder holds files of some ids only, those of an earlier, larger split not.

    Args:
        folder: One that :func:`claim` has taken.
        suffix: Of the files.
        ids: Those that belong here.
        restart: Remove the others instead of refusing.

    Raises:
        ChangedError: There are others; counted and named.
    """
    others = {key: path for key, path in list_files(folder, suffix).items() if key not in set(ids)}
    if others and not restart:
        raise ChangedError(
            f'{folder} also holds {suffix} files of {len(others)} images that do not belong to the '
            f'present ones, left from a larger split, for example: {some(others)}. Use another '
            f'folder, {RESTART}.'
        )
    for path in others.values():
        path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes waiting, where the file system can; leaves no file."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def only_one(folder: str | os.PathLike, what: str) -> Iterator[None]:
    """Hold a lock on a folder, which the system releases when the process ends, however it ends.

    Args:
        folder: Made if it is missing.
        what: Holds the lock, for the message.

    Raises:
        RuntimeError: Another process holds it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(Path(folder, _LOCK), timeout=0):
            yield
    except Timeout:
        raise RuntimeError(
            f'another run of {what} is active in {folder}. Wait for its end, or use another folder.'
        ) from None


def as_json(value: Any) -> Any:
    """What JSON makes of a value, the same in every process.

    Tuples become lists, sets are sorted, arrays are written out, functions and classes have their
    names; of what JSON does not know, the text counts.
    """
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, 'detach'):
        return value.tolist()
    if hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    return str(value)


def read_record(path: Path) -> dict[str, Any]:
    """What a folder was made from: ``settings``, and ``files`` by id.

    Raises:
        ChangedError: The file holds something else, or it is broken.
    """
    try:
        record = read_json(path)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), dict) for key in ('settings', 'files')
    ):
        raise ChangedError(
            f'{path} is no record of what the files beside it were made from, or it is broken. Use '
            'another folder, or move them away.'
        )
    return record


def _difference(
    earlier: dict[str, Any],
    settings: dict[str, Any],
    stamps: dict[str, list[str]],
    products: Mapping[str, Path],
) -> str:
    if not products:  # nothing was made yet
        return ''
    changes = compare_settings(earlier['settings'], settings)
    if changes:
        return f'holds results of other settings: {some(changes)}'
    known = earlier['files']
    changed = [key for key in stamps if key in products and known.get(key) != stamps[key]]
    if changed:
        names = f' ({some(changed)})' if any(changed) else ''  # one file of all has the empty id
        return (
            f'holds results of other files: the inputs of {len(changed)} images have changed '
            f'since{names}'
        )
    return ''


def compare_settings(earlier: Any, now: Any, name: str = '') -> list[str]:
    """What differs between two nests of dictionaries and lists: ``['crf.preset: psa -> irn']``."""
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        keys = sorted({*earlier, *now}, key=str)
    elif isinstance(earlier, list) and isinstance(now, list) and len(earlier) == len(now):
        keys = range(len(now))
        earlier, now = dict(enumerate(earlier)), dict(enumerate(now))
    else:
        same = earlier == now or (earlier != earlier and now != now)  # NaN
        return [] if same else [f'{name}: {_short(earlier)} -> {_short(now)}']
    lines = []
    for key in keys:
        old, new = earlier.get(key, _MISSING), now.get(key, _MISSING)
        if old is _MISSING and isinstance(new, Mapping):
            old = {}
        if new is _MISSING and isinstance(old, Mapping):
            new = {}
        lines += compare_settings(old, new, f'{name}.{key}' if name else str(key))
    return lines


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f'{text[:20]}...{text[-37:]}'


def stamp(path: str | os.PathLike) -> str:
    """Size and time of a file, ``'missing'`` without it."""
    try:
        status = os.stat(path)
    except OSError:
        return 'missing'
    return f'{status.st_size} {status.st_mtime_ns}'


def digest_file(path: str | os.PathLike) -> str:
    """Digest of a file's content; kept as long as its size and time stay."""
    return _digest(os.path.realpath(path), stamp(path))


@lru_cache(maxsize=64)
def _digest(path: str, _stamp: str) -> str:
    found = hashlib.sha1()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def digest_json(value: Any) -> str:
    """Digest of what JSON knows; entries of dictionaries count in their order."""
    return hashlib.sha1(json.dumps(value).encode()).hexdigest()


def digest_stamps(paths: Iterable[str | os.PathLike]) -> str:
    """One digest of the names, sizes and times of many files, in their order."""
    found = hashlib.sha1()
    for path in paths:
        name = os.path.basename(path)  # a folder that is moved stays the same
        found.update(f'{name} {stamp(path)}\n'.encode('utf-8', 'surrogateescape'))
    return found.hexdigest()
