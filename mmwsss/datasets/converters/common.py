"""What all converters share: split lists, class lists, summaries."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...utils.io import atomic_write


def read_ids(*paths: str | os.PathLike) -> list[str]:
    """Image ids of split lists (one id per line, blank lines skipped), each id once, sorted.

    Raises:
        FileNotFoundError: No such list.
        ValueError: A list holds no id.
    """
    ids = set()
    for path in paths:
        if not Path(path).is_file():
            raise FileNotFoundError(f'Split list {path} does not exist.')
        found = Path(path).read_text(encoding='utf-8').split()
        if not found:
            raise ValueError(f'Split list {path} is empty.')
        ids.update(found)
    return sorted(ids)


def write_ids(path: str | os.PathLike, ids: Iterable[str]) -> None:
    """Write a split list, sorted, atomically."""
    with atomic_write(path) as tmp:
        tmp.write_text(''.join(f'{image_id}\n' for image_id in sorted(ids)), encoding='utf-8')


def read_class_names(path: str | os.PathLike) -> list[str]:
    """Foreground class names, one per line, in class order (background is implied).

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name, a name twice, or 'background' in the list.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'Class list {path} does not exist.')
    lines = Path(path).read_text(encoding='utf-8').splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'Class list {path} is empty.')
    if 'background' in names:
        raise ValueError(f"Class list {path}: 'background' is implied, remove that line.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'Class list {path} names {", ".join(twice)} more than once.')
    return names


def summarise_labels(labels: Mapping[str, Sequence[str]]) -> str:
    """A few lines of text: number of images, labels per image, images per class."""
    counts = Counter(name for names in labels.values() for name in set(names))
    empty = sum(not names for names in labels.values())
    mean = sum(counts.values()) / max(len(labels), 1)
    lines = [f'{len(labels)} images, {mean:.2f} labels per image, {empty} images without label']
    lines += [f'  {name}: {count} images' for name, count in counts.most_common()]
    return '\n'.join(lines)
