"""What all converters share: folders of annotations, split lists, class lists, summaries."""

import codecs
import logging
import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmengine.logging import print_log

from ...utils.checks import check_look_different, some, spelling_hint
from ...utils.images import COMPANIONS, IMAGE_SUFFIXES, ImageFolder, unwritable_name
from ...utils.io import write_text
from ...utils.text import decode_text, read_lines

_DECLARED = re.compile(rb'\s*<\?xml[^>]*?\sencoding\s*=\s*["\']([\w.:-]+)["\']')


def scan_files(folder: str | os.PathLike, suffix: str, what: str) -> ImageFolder:
    """Find the annotations ``<image id><suffix>`` of a folder, and what else is there.

    Hidden files count as neither, nor do lists and notes; pictures only where masks are looked
    for.

    Args:
        folder: The folder; subfolders are not searched.
        suffix: In lower case: ``'.xml'``, ``'.png'``, ``'.npy'``.
        what: What the folder is, for messages.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: It holds no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{what} folder {folder} does not exist.')
    result = ImageFolder(folder)
    for path in sorted(folder.iterdir()):
        kind = '' if path.name[0] == '.' else _why_left_out(path, suffix)
        if kind is None:
            result.found[path.stem] = path
        elif kind:
            result.left_out.setdefault(kind, []).append(path)
    if not result.found:
        rest = f'; {result.describe_left_out()}' if result.left_out else ''
        raise ValueError(
            f'{what} folder {folder} holds no {suffix} file{rest}: name the folder they lie in'
        )
    return result


def _why_left_out(path: Path, suffix: str) -> str | None:
    """The kind of what is left out; ``''`` for what is no annotation anyway; None: take it."""
    ending = path.suffix
    if path.is_symlink() and not path.exists():
        return 'broken link'
    if path.is_dir():
        return 'subfolder'
    if ending == suffix:
        return unwritable_name(path.stem) if path.is_file() else 'no regular file'
    if ending.lower() == suffix:
        return f'{ending}, which must be {suffix}'
    others = COMPANIONS if suffix == '.png' else (*COMPANIONS, *IMAGE_SUFFIXES)
    return '' if ending.lower() in others else f'unsupported {ending or "file without suffix"}'


def check_found(scanned: ImageFolder, ids: Sequence[str], suffix: str) -> None:
    """Raise FileNotFoundError, counting and naming them, if ids have no file in a folder."""
    missing = [key for key in ids if key not in scanned.found]
    if not missing:
        return
    rest = f' ({scanned.describe_left_out()})' if scanned.left_out else ''
    rest += spelling_hint(missing, scanned.found)
    raise FileNotFoundError(
        f'{scanned.folder / (missing[0] + suffix)} does not exist; {len(missing)} of {len(ids)} '
        f'image ids, which are file names without suffix, have no {suffix} file there: '
        f'{some(missing)}{rest}. Correct the split list, or add the files.'
    )


def warn_left_out(scanned: ImageFolder) -> list[str]:
    """The ids of a scanned folder; what is left out there is logged as a warning."""
    if scanned.left_out:
        print_log(scanned.describe_left_out(), 'current', logging.WARNING)
    return list(scanned.found)


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
    check_look_different(f'Split list {path}', ids)
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
    write_text(path, ''.join(f'{image_id}\n' for image_id in ids))


def read_class_names(path: str | os.PathLike) -> list[str]:
    """Foreground class names, one per line, in class order (background is implied).

    Raises:
        FileNotFoundError: No such file.
        ValueError: No name, a name twice, or 'background' in the list.
    """
    names = read_lines(path, 'Class list')
    check_class_names(names, f'Class list {path}')
    return names


def read_xml(path: str | os.PathLike, root_tag: str) -> ElementTree.Element:
    """Root element of an XML file.

    Args:
        path: In the encoding that it declares, or UTF-8.
        root_tag: What the root must be called.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not well-formed XML, or another root.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Annotation {path} does not exist.')
    try:
        root = ElementTree.fromstring(_decode_xml(path.read_bytes(), path))
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not well-formed XML: {error}.') from error
    if root.tag != root_tag:
        raise ValueError(f'{path}: the root element is <{root.tag}>, expected <{root_tag}>.')
    return root


def _decode_xml(content: bytes, path: Path) -> str:
    """Decode by the byte-order mark, else by what the declaration says, else as UTF-8."""
    declared = _DECLARED.match(content)
    name = declared[1].decode() if declared else 'utf-8'
    # A declaration that can be read byte by byte is not in UTF-16, whatever it says.
    if re.match(r'(?i)utf|ucs', name):
        return decode_text(content, path)
    try:
        return codecs.lookup(name) and content.decode(name)
    except (LookupError, UnicodeDecodeError) as error:
        raise ValueError(
            f'{path} cannot be read in the encoding {name!r} that it declares ({error}). Save it '
            'again as UTF-8.'
        ) from error


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raise ValueError unless foreground class names are different and none is the background.

    Names that differ in nothing but case or blanks around them count as equal, and the background
    has several names: ``background``, ``_background_`` (labelme), ``__background__``.
    """
    folded = [name.strip().casefold() for name in names]
    for name, plain in zip(names, folded, strict=True):
        if not plain:
            raise ValueError(f'{where} holds an empty class name.')
        if reason := unwritable_name(name.strip()):
            raise ValueError(f'{where}: class {name!a} is a {reason}; rename it.')
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
