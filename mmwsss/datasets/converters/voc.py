"""Image labels from VOC XML annotations, and the train_aug list."""

import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.utils import track_iter_progress

from ...stores.label_file import unknown_class_message
from ...utils.checks import some
from ...utils.images import ImageFolder, image_id_of
from .common import check_found, read_xml, scan_files, warn_left_out

TRAIN_AUG_SIZE = 10582


def names_in_xml(path: str | os.PathLike, foreground: Sequence[str]) -> list[str]:
    """Class names of the objects of one VOC annotation, in class order.

    Every object counts, also those marked difficult or truncated. Body parts (``<part>`` inside
    an object) do not.

    Args:
        path: ``Annotations/<image id>.xml``.
        foreground: Valid class names.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not well-formed XML, not a VOC annotation, or an object with no or an unknown
            class name.
    """
    return _names(read_xml(path, 'annotation'), path, foreground)


def _names(
    root: ElementTree.Element, path: str | os.PathLike, foreground: Sequence[str]
) -> list[str]:
    objects = root.findall('object')
    if len(objects) != sum(1 for _ in root.iter('object')):
        raise ValueError(
            f'{path} is not a VOC annotation: it has an <object> that is not directly below '
            '<annotation>.'
        )
    found = set()
    for item in objects:
        name = (item.findtext('name') or '').strip()
        if name not in foreground:
            raise ValueError(f'{path}: {unknown_class_message(name, foreground)}.')
        found.add(name)
    return [name for name in foreground if name in found]


def scan_annotations(folder: str | os.PathLike) -> ImageFolder:
    """The XML files of VOC's ``Annotations`` by image id, and what is left out there.

    The name of the file decides: ``a.xml`` is of image ``a``, and so is ``a.jpg.xml``.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: No XML file, or two of one image.
    """
    scanned = scan_files(folder, '.xml', 'Annotation')
    found: dict[str, Path] = {}
    for name, path in scanned.found.items():
        image_id = image_id_of(name)
        if found.setdefault(image_id, path) != path:
            raise ValueError(
                f'{found[image_id]} and {path} are both of image {image_id!r}; remove one.'
            )
    return replace(scanned, found=found)


def labels_from_xml(
    folder: str | os.PathLike,
    foreground: Sequence[str],
    ids: Sequence[str] | None = None,
    strict_filenames: bool = False,
) -> dict[str, list[str]]:
    """Image labels of all annotations of a folder.

    An annotation whose ``<filename>`` is of another image than its own name, as in folders whose
    files were renamed, is counted and named in a warning.

    Args:
        folder: VOC's ``Annotations``.
        foreground: Valid class names.
        ids: Image ids; None for every ``.xml`` of the folder (what is left out is logged).
        strict_filenames: Refuse such annotations instead.

    Returns:
        ``{image id: [class name, ...]}``.

    Raises:
        FileNotFoundError: No such folder, or annotations of ``ids`` are missing.
        ValueError: No annotation, two of one image, or one is wrong; see :func:`names_in_xml`.
    """
    scanned = scan_annotations(folder)
    if ids is None:
        ids = warn_left_out(scanned)
    check_found(scanned, ids, '.xml')
    labels, disagreeing = {}, []
    for image_id in track_iter_progress(list(ids)):
        path = scanned.found[image_id]
        root = read_xml(path, 'annotation')
        labels[image_id] = _names(root, path, foreground)
        filename = (root.findtext('filename') or '').strip()
        if filename and image_id_of(filename) != image_id:
            disagreeing.append(f'{path.name} ({filename})')
    if disagreeing:
        _tell_disagreeing(scanned.folder, disagreeing, strict_filenames)
    return labels


def _tell_disagreeing(folder: Path, disagreeing: Sequence[str], strict: bool) -> None:
    message = (
        f'{len(disagreeing)} annotations in {folder} name another image in <filename> than their '
        f'own file name does: {some(disagreeing)}'
    )
    if strict:
        raise ValueError(f'{message}. Rename the files, or correct <filename>.')
    print(f'{message}. The name of the XML file was used.', file=sys.stderr)


def train_aug_ids(
    voc_train: Collection[str], voc_val: Collection[str], sbd: Collection[str]
) -> list[str]:
    """The augmented training set: VOC train and all of SBD without VOC val, sorted.

    With the official lists these are 10582 images.

    Args:
        voc_train: ``ImageSets/Segmentation/train.txt``.
        voc_val: ``ImageSets/Segmentation/val.txt``.
        sbd: ``train.txt`` and ``val.txt`` of SBD together.
    """
    return sorted((set(voc_train) | set(sbd)) - set(voc_val))
