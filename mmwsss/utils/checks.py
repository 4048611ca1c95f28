"""Checks of what a user gives, before anything is computed or written."""

from __future__ import annotations

import difflib
import os
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise ValueError, naming the choices and the nearest one, if ``value`` is none of them."""
    choices = list(choices)
    if value in choices:
        return
    near = difflib.get_close_matches(str(value), map(str, choices), n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    known = ', '.join(map(str, choices))
    raise ValueError(f'{name} must be one of {known}, got {value!r}{hint}')


def check_flag(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f'{name} must be True or False, got {value!r}')


def check_range(
    name: str,
    value: float | None,
    low: float = -float('inf'),
    high: float = float('inf'),
    *,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> None:
    """Raise ValueError unless ``low <= value <= high``; NaN and text are outside. None passes.

    Args:
        name: What the message calls the value.
        value: Number to check.
        low, high: Bounds.
        open_low, open_high: The bound itself is excluded.
        integer: Only whole numbers, and no float that happens to be one.
    """
    if value is None:
        return
    number = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
    inside = number and low <= value <= high and not (open_low and value == low)
    if inside and not (open_high and value == high) and abs(value) != float('inf'):
        return
    kind = 'a whole number' if integer else 'a number'
    left, right = '(' if open_low else '[', ')' if open_high else ']'
    raise ValueError(f'{name} must be {kind} in {left}{low:g}, {high:g}{right}, got {value!r}')


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise ValueError, naming them, if some of ``names`` occur more than once."""
    twice = [str(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'{what} given more than once: {some(twice)}')


def check_look_different(what: str, names: Iterable[str]) -> None:
    """Raise ValueError if two of ``names`` are different only in how an accent is written.

    An ``e`` with accent is one character on most systems and two on macOS; both look the same, so
    that such ids are one image, copied from two systems.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize('NFC', name), name)
        if other != name:
            raise ValueError(
                f'{what} has {some([ascii(other), ascii(name)])}, which look the same: an accent '
                'is one character in one and two in the other. Remove or rename one.'
            )


def check_distinct_files(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Raise ValueError if the file system takes two of ``names`` for one file of a folder.

    Names that differ in nothing but case, or in how an accent is written, are one file on the
    systems of Windows and macOS, so that one result would silently overwrite the other.

    Args:
        folder: Where the files will be; may not exist yet.
        names: Names of files without suffix, different from each other.
    """
    places: dict[str, list[str]] = {}
    for name in names:
        places.setdefault(_folded(name), []).append(name)
    alike = [pair for pair in places.values() if len(pair) > 1]
    if alike and not _tells_apart(_existing(folder), alike[0]):
        raise ValueError(
            f'{some(alike[0])} would be one file in {folder}, whose file system does not tell them '
            'apart. Rename one image, or write to another disk.'
        )


def _folded(name: str) -> str:
    return unicodedata.normalize('NFC', name).casefold()


def _tells_apart(folder: Path, names: Sequence[str]) -> bool:
    """Whether files of these names are different ones, tried out."""
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        for name in names:
            Path(tmp, name).touch()
        return len(os.listdir(tmp)) == len(names)


def spelling_hint(missing: Iterable[str], present: Iterable[str]) -> str:
    """What is there under a nearly equal name, to close the message about ids without a file.

    The usual causes: the list has suffixes, folders or two columns, letters differ in case, or an
    accent is written as one character here and as two there, which looks the same.

    Args:
        missing: Ids that were looked for.
        present: Names of the files that are there, with or without suffix.

    Returns:
        ``' (...)'``, or nothing.
    """
    present = sorted(present, reverse=True)
    known = {_folded(os.path.splitext(name)[0]): name for name in present}
    known.update({_folded(name): name for name in present})
    for name in missing:
        other = known.get(_folded(name))
        if other not in (None, name):
            other = some([ascii(other)])
            return f' (there is {other}: the names differ in case, suffix or accents)'
        words = name.replace('\\', '/').split() or ['']
        bare = _folded(os.path.splitext(os.path.basename(words[0]))[0])
        if bare in known:
            other = some([ascii(known[bare])])
            return f' (there is {other}: an id is its name without folder and suffix, one per line)'
    return ''


def check_palette(palette: Any, count: int) -> None:
    """Raise ValueError unless ``palette`` has ``count`` to 256 rows of three values in 0..255."""
    if not isinstance(palette, Iterable):
        raise ValueError(f'the palette must be a list of [r, g, b], got {palette!r}')
    rows = [list(row) if isinstance(row, Iterable) else [row] for row in palette]
    if not count <= len(rows) <= 256:
        raise ValueError(
            f'the palette has {len(rows)} colours for {count} classes, background included; give '
            'one [r, g, b] per class, 256 at most'
        )
    for index, row in enumerate(rows):
        whole = all(isinstance(v, Integral) and not isinstance(v, bool) for v in row)
        if len(row) != 3 or not whole or not all(0 <= v <= 255 for v in row):
            raise ValueError(
                f'colour {index} of the palette must be three whole numbers in 0..255, got {row}'
            )


def check_apart(
    outputs: Mapping[str, str | os.PathLike | None], inputs: Mapping[str, str | os.PathLike | None]
) -> None:
    """Raise ValueError if an output is one of the inputs, so that it would overwrite it.

    Args:
        outputs, inputs: Files or folders by the name that the user knows them by; None is skipped.
    """
    read = {_identity(path): (name, path) for name, path in inputs.items() if path is not None}
    for name, path in outputs.items():
        if path is not None and _identity(path) in read:
            source, _ = read[_identity(path)]
            raise ValueError(
                f'{name} is {path}, which is also {source}: what is read would be overwritten. '
                f'Choose another {name}.'
            )


def check_output_folder(folder: str | os.PathLike) -> None:
    """Raise OSError if nothing can be written into a folder, or it cannot be made.

    Nothing is made or left behind.
    """
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(
            f'Cannot write into {some([folder])} ({error}). Choose another output folder '
            '(--work-dir, --out or --show-dir), or change its permissions.'
        ) from error


def check_output_file(path: str | os.PathLike | None) -> None:
    """Raise OSError if a file cannot be written; None passes.

    Nothing is made or left behind.
    """
    if path is None:
        return
    if os.path.isdir(path):
        raise OSError(f'Cannot write {some([path])}: it is a folder. Give the name of a file.')
    check_output_folder(Path(path).parent)


def check_device(name: str | None) -> None:
    """Raise ValueError unless tensors can be made on the device ``name``."""
    if name is None:
        return
    try:
        torch.zeros(1, device=name).item()  # 'meta' makes tensors without values
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        count = torch.cuda.device_count()
        raise ValueError(
            f'device {name!r} cannot be used here ({reason}). Devices are cpu'
            + ''.join(f', cuda:{i}' for i in range(count))
        ) from None


def some(names: Iterable[object], limit: int = 5) -> str:
    """The first few names of a list, for messages; undecodable bytes are shown escaped."""
    names = [str(name).encode('utf-8', 'backslashreplace').decode() for name in names]
    return ', '.join(names[:limit]) + (', ...' if len(names) > limit else '')


def _existing(folder: str | os.PathLike) -> Path:
    """A folder, or the nearest one above it that is there."""
    folder = Path(folder)
    return next((path for path in (folder, *folder.parents) if path.exists()), Path('.'))


def _identity(path: str | os.PathLike) -> tuple:
    """The same for all names of a file or folder: links, mounts, other case where that is one."""
    try:
        status = os.stat(path)
    except OSError:
        return (os.path.realpath(path),)
    return status.st_dev, status.st_ino
