"""Reading text that people and programs of every system write: lists, JSON, XML names."""

from __future__ import annotations

import codecs
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from mmengine.config import Config

_MARKS = {
    codecs.BOM_UTF8: 'utf-8-sig',
    codecs.BOM_UTF32_LE: 'utf-32',  # begins as the mark of UTF-16 does
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}


def decode_text(content: bytes, path: str | os.PathLike) -> str:
    """Decode UTF-8, or what a byte-order mark says (as Notepad and PowerShell write them).

    Raises:
        ValueError: Another encoding; names ``path`` and the remedy.
    """
    coding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), 'utf-8')
    try:
        text = content.decode(coding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is not text in UTF-8 ({error}). Save it again with the encoding UTF-8.'
        ) from error
    if '\0' in text:
        raise ValueError(
            f'{path} holds zero bytes: it is no text, or UTF-16 without a byte-order mark. Save it '
            'again with the encoding UTF-8.'
        )
    return text


def read_text(path: str | os.PathLike, what: str = 'File') -> str:
    """Read a text file; see :func:`decode_text`.

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Neither UTF-8 nor marked otherwise.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{what} {path} does not exist.')
    return decode_text(Path(path).read_bytes(), path)


def read_lines(path: str | os.PathLike, what: str = 'File') -> list[str]:
    """Lines of a text file without blanks around them and without empty ones.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No line, or not UTF-8.
    """
    # splitlines() would also cut at form feeds and at the line separators of Unicode. Files that
    # were joined have byte-order marks inside.
    text = read_text(path, what).replace('\ufeff', '').replace('\r\n', '\n').replace('\r', '\n')
    lines = [line.strip() for line in text.split('\n') if line.strip()]
    if not lines:
        raise ValueError(f'{what} {path} is empty.')
    return lines


def parse_json(content: bytes, path: str | os.PathLike) -> Any:
    """Parse JSON in which no object holds a key twice.

    Raises:
        ValueError: Not JSON, or a key is there twice (a plain parser would keep the last one).
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            raise KeyError(min(key for key, count in counts.items() if count > 1))
        return found

    text = decode_text(content, path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except KeyError as error:
        raise ValueError(
            f'{path} holds the key {error.args[0]!r} twice in one object; remove one.'
        ) from None
    except ValueError as error:  # also numbers of thousands of digits
        raise ValueError(f'{path} is not valid JSON: {error}.') from error
    except RecursionError:
        raise ValueError(f'{path} is not valid JSON: it is nested too deeply.') from None


def read_config(path: str | os.PathLike) -> Config:
    """A config of mmengine.

    Raises:
        FileNotFoundError: One that it is based on is missing.
        ValueError: It is no Python, or fails as it is run; names it.
    """
    try:
        return Config.fromfile(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # the file is a program
        hint = '; save it as UTF-8 without byte-order mark' if '\ufeff' in str(error) else ''
        hint = hint or ('; save it as UTF-8' if isinstance(error, UnicodeError) else '')
        raise ValueError(
            f'{path} cannot be read as a config ({type(error).__name__}: {error}){hint}'
        ) from error


def read_object(path: str | os.PathLike) -> dict[str, Any]:
    """A JSON file that this package has written, which holds an object.

    Raises:
        FileNotFoundError, ValueError: See :func:`read_json`; or it holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path} is damaged, it must hold a JSON object: remove it')
    return content


def read_json(path: str | os.PathLike, what: str = 'File') -> Any:
    """Read a JSON file; see :func:`parse_json`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, or a key twice.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{what} {path} does not exist.')
    return parse_json(Path(path).read_bytes(), path)
