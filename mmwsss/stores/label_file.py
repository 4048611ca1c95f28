"""The image-label file: JSON ``{image id: [foreground class name, ...]}``.

An image id is the file name of the image without extension.
"""

import difflib
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from ..utils.io import write_text
from ..utils.text import read_json


def read_label_file(path: str | os.PathLike) -> dict[str, list[str]]:
    """Read an image-label file and check its structure.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, an id twice, or not of the form ``{id: [name, ...]}``.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'Label file {path} does not exist. Make it with one of the converters in '
            'tools/dataset_converters (voc_labels.py, mask_labels.py, coco.py), or correct '
            '`label_file` and `data_root` of the dataset.'
        )
    labels = read_json(path, 'Label file')
    if not isinstance(labels, dict):
        raise ValueError(
            f'Label file {path} must hold an object {{image id: [class name, ...]}}, '
            f'found a {type(labels).__name__}.'
        )
    for image_id, names in labels.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f'Label file {path}: the entry of image {image_id!r} must be a list of class '
                f'names, found {names!r}.'
            )
    return labels


def write_label_file(path: str | os.PathLike, labels: Mapping[str, Sequence[str]]) -> None:
    """Write an image-label file atomically, ids sorted, one image per line."""
    lines = (f'{json.dumps(key)}: {json.dumps(list(labels[key]))}' for key in sorted(labels))
    write_text(path, '{\n' + ',\n'.join(lines) + '\n}\n')


def unknown_class_message(name: str, classes: Sequence[str]) -> str:
    """Explain that ``name`` is none of ``classes``, with the nearest name or the valid ones."""
    if name == 'background':
        return "'background' is implied and must not be listed"
    near = difflib.get_close_matches(str(name), classes, n=1)
    hint = f'did you mean {near[0]!r}? ' if near else ''
    return f'unknown class {name!r}; {hint}Valid classes: {", ".join(classes)}'


def encode_image_labels(names: Sequence[str], foreground: Sequence[str]) -> np.ndarray:
    """Turn class names into sorted 0-based indices of the foreground classes.

    Args:
        names: Class names of one image, any order, repetitions allowed.
        foreground: All foreground class names in the order of the classes.

    Returns:
        int64 ``(K,)``, values in ``0..len(foreground) - 1``.

    Raises:
        ValueError: A name is not in ``foreground``.
    """
    for name in names:
        if name not in foreground:
            raise ValueError(unknown_class_message(name, foreground))
    return np.array(sorted({foreground.index(name) for name in names}), dtype=np.int64)
