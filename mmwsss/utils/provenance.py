"""What the files of a folder were made from, so that nothing goes on with something else.

A writer that can be interrupted calls :func:`claim` before its first output. The folder then holds
``made_from.json``: the settings, and size and time of every input file. The next run may go on only
if nothing of it differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .checks import some
from .io import atomic_write, is_whole, list_files
from .text import read_json

RECORD = 'made_from.json'
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
    folder = Path(folder)
    settings = json.loads(json.dumps(settings, default=str))
    stamps = {key: [stamp(path) for path in paths] for key, paths in inputs.items()}
    products, path = list_files(folder, suffix), folder / RECORD
    earlier: dict[str, Any] = {}
    if path.is_file():
        earlier = read_record(path)
        why = _difference(earlier, settings, stamps, products)
        if why and not restart:
            raise ChangedError(f'{folder} {why}. Use another folder, {RESTART}.')
        if why:
            for product in products.values():
                product.unlink()
            products, earlier = {}, {}
    elif products:
        raise ChangedError(
            f'{folder} holds {len(products)} {suffix} files but no {RECORD}, so it is not known '
            'what they were made from. Use another folder, or move them away.'
        )
    files = {**earlier.get('files', {}), **stamps}
    if earlier != (record := dict(settings=settings, files=files)):
        with atomic_write(path) as tmp:
            tmp.write_text(json.dumps(record, indent=1), encoding='utf-8')
    return {key for key in stamps if key in products and is_whole(products[key])}


def read_record(path: Path) -> dict[str, Any]:
    """What a folder was made from: ``settings``, and ``files`` by id.

    Raises:
        ChangedError: The file holds something else.
    """
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get('files'), dict):
        raise ChangedError(
            f'{path} is no record of what the files beside it were made from. Use another folder, '
            'or move them away.'
        )
    return record


def _difference(
    earlier: dict[str, Any],
    settings: dict[str, Any],
    stamps: dict[str, list[str]],
    products: Mapping[str, Path],
) -> str:
    changes = compare_settings(earlier.get('settings', {}), settings)
    if changes:
        return f'holds results of other settings: {some(changes)}'
    known = earlier.get('files', {})
    changed = [key for key in stamps if key in products and known.get(key) != stamps[key]]
    if changed:
        return (
            f'holds results of other files: the inputs of {len(changed)} images have changed since '
            f'({some(changed)})'
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
        return [] if earlier == now else [f'{name}: {_short(earlier)} -> {_short(now)}']
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
    """Digest of a file's content."""
    found = hashlib.sha1()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def digest_stamps(paths: Iterable[str | os.PathLike]) -> str:
    """One digest of the names, sizes and times of many files, in their order."""
    found = hashlib.sha1()
    for path in paths:
        name = os.path.basename(path)  # a folder that is moved stays the same
        found.update(f'{name} {stamp(path)}\n'.encode('utf-8', 'surrogateescape'))
    return found.hexdigest()
