"""What all converters share: split lists, class lists, summaries."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...utils.checks import some
from ...utils.images import unwritable_name
from ...utils.io import atomic_write
from ...utils.text import read_lines


def read_id_list(path: str | os.PathLike) -> list[str]:
    """Image ids of a split list in its order: one per line, blanks inside are part of it.

    Raises:
        FileNotFoundError: No such list.
        ValueError: The list holds no id, or one twice.
    """
    ids = read_lines(path, 'Split list')
    twice = [key for key, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(
            f'Split list {path} names {len(twice)} images more than once: {some(twice)}. Remove '
            'the repeated lines.'
        )
    return ids


def read_ids(*paths: str | os.PathLike) -> list[str]:
    """Image ids of several split lists together, sorted; they may share some.

    Raises:
        FileNotFoundError: A list is missing.
        ValueError: A list holds no id, or one twice.
    """
    return sorted({key for path in paths for key in read_id_list(path)})


def write_ids(path: str | os.PathLike, ids: Iterable[str]) -> None:
    """Write a split list, sorted, atomically.

    Raises:
        ValueError: An id cannot stand on a line of its own.
    """
    ids = sorted(ids)
    for key in ids:
        if reason := unwritable_name(key):
            raise ValueError(
                f'{path}: image id {some([ascii(key)])} is a {reason}; rename the image'
            )
    with atomic_write(path) as tmp:
        tmp.write_text(''.join(f'{image_id}\n' for image_id in ids), encoding='utf-8')


def read_class_names(path: str | os.PathLike) -> list[str]:
    """Foreground class names, one per line, in class order (background is implied).

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name, a name twice, or 'background' in the list.
    """
    names = read_lines(path, 'Class list')
    check_class_names(names, f'Class list {path}')
    return names


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raise ValueError unless foreground class names are different and none is the background.

    Names that differ in nothing but case or blanks around them count as equal, and the background
    has several names: ``background``, ``_background_`` (labelme), ``__background__``.
    """
    folded = [name.strip().casefold() for name in names]
    for name, plain in zip(names, folded, strict=True):
        if not plain:
            raise ValueError(f'{where} holds an empty class name.')
        if plain.strip('_') == 'background' or plain == '__ignore__':
            raise ValueError(
                f'{where}: {name!r} is implied (0 is background, 255 ignored) and must not be '
                'listed; remove it.'
            )
    twice = [name for name, plain in zip(names, folded, strict=True) if folded.count(plain) > 1]
    if twice:
        raise ValueError(f'{where} names {some(dict.fromkeys(twice))} more than once.')


def summarise_labels(labels: Mapping[str, Sequence[str]]) -> str:
    """A few lines of text: number of images, labels per image, images per class."""
    counts = Counter(name for names in labels.values() for name in set(names))
    empty = sum(not names for names in labels.values())
    mean = sum(counts.values()) / max(len(labels), 1)
    lines = [f'{len(labels)} images, {mean:.2f} labels per image, {empty} images without label']
    lines += [f'  {name}: {count} images' for name, count in counts.most_common()]
    return '\n'.join(lines)
