"""Image labels from VOC XML annotations, and the train_aug list."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Sequence
from pathlib import Path

from mmengine.utils import track_iter_progress

from ..label_file import unknown_class_message

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
        ValueError: Not well-formed XML, not a VOC annotation, of another image, or an object with
            no or an unknown class name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Annotation {path} does not exist. Every image id of the split lists needs one.'
        )
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not well-formed XML: {error}.') from error
    if root.tag != 'annotation':
        raise ValueError(f'{path}: the root element is <{root.tag}>, expected <annotation>.')
    filename = (root.findtext('filename') or '').strip()
    if filename and Path(filename).stem != path.stem:
        raise ValueError(f'{path} says that it annotates {filename}; file names must agree.')
    found = set()
    for item in root.findall('object'):
        name = (item.findtext('name') or '').strip()
        if name not in foreground:
            raise ValueError(f'{path}: {unknown_class_message(name, foreground)}.')
        found.add(name)
    return [name for name in foreground if name in found]


def labels_from_xml(
    folder: str | os.PathLike, foreground: Sequence[str], ids: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Image labels of all annotations of a folder.

    Args:
        folder: VOC's ``Annotations``.
        foreground: Valid class names.
        ids: Image ids; None for every ``.xml`` of the folder.

    Returns:
        ``{image id: [class name, ...]}``.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Annotation folder {folder} does not exist.')
    if ids is None:
        ids = sorted(path.stem for path in folder.glob('*.xml'))
    if not ids:
        raise ValueError(f'Annotation folder {folder} holds no .xml file.')
    return {
        image_id: names_in_xml(folder / f'{image_id}.xml', foreground)
        for image_id in track_iter_progress(list(ids))
    }


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
