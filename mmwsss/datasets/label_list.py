"""Class indices of images by their id, from the files that weakly supervised codes share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..stores.label_file import encode_image_labels, read_label_file
from ..utils.checks import some
from ..utils.text import read_lines
from .converters.cams import read_dictionary

LabelList = dict[str, list[int]]


def read_label_list(path: str | os.PathLike, foreground: list[str]) -> LabelList:
    """Image labels as sorted 0-based foreground indices.

    Args:
        path: ``.txt`` with a line ``<image id> c0 c1 ...`` of 0-based indices (WSSS-BED, L2G),
            ``.npy`` with a dictionary ``{image id: multi-hot vector}`` (IRN's ``cls_labels.npy``),
            or our ``.json`` of class names.
        foreground: Class names without background.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of file, an id twice, or classes out of range; names them.
    """
    readers = {'.txt': _from_lines, '.npy': _from_vectors, '.json': _from_names}
    suffix = Path(path).suffix
    if suffix not in readers:
        raise ValueError(f'{path}: image labels are read from {", ".join(readers)} files')
    labels = readers[suffix](path, foreground)
    wrong = {
        key: value
        for key, value in labels.items()
        if any(not 0 <= c < len(foreground) for c in value)
    }
    if wrong:
        named = some(f'{key} {value}' for key, value in wrong.items())
        raise ValueError(
            f'{path}: {len(wrong)} of {len(labels)} images have classes outside '
            f'0..{len(foreground) - 1} (0-based, without background): {named}'
        )
    return labels


def _from_lines(path: str | os.PathLike, foreground: list[str]) -> LabelList:
    labels: LabelList = {}
    for line in read_lines(path, 'Label list'):
        key, *values = line.split()
        try:
            found = sorted({int(value) for value in values})
        except ValueError:
            raise ValueError(
                f'{path}: {line!r} is no image id followed by 0-based class indices'
            ) from None
        if not values and (',' in key or ';' in key):
            raise ValueError(f'{path}: {line!r}: separate the id and its classes by blanks')
        if key in labels:
            raise ValueError(f'{path} names the image {key} twice')
        labels[key] = found
    return labels


def _from_vectors(path: str | os.PathLike, foreground: list[str]) -> LabelList:
    labels: LabelList = {}
    for key, vector in read_dictionary(path).items():
        vector = np.asarray(vector)
        if vector.shape != (len(foreground),) or vector.dtype.kind not in 'fiub':
            raise ValueError(
                f'{path}: the entry of {key} has the shape {vector.shape}, expected one number for '
                f'each of the {len(foreground)} classes'
            )
        if not np.isin(vector, (0, 1)).all():
            raise ValueError(
                f'{path}: the entry of {key} must hold 0 and 1, for absent and present classes, '
                f'got {some(vector[~np.isin(vector, (0, 1))])}'
            )
        if str(key) in labels:
            raise ValueError(f'{path} names the image {key} twice')
        labels[str(key)] = np.flatnonzero(vector).tolist()
    return labels


def _from_names(path: str | os.PathLike, foreground: list[str]) -> LabelList:
    try:
        return {
            key: encode_image_labels(names, foreground).tolist()
            for key, names in read_label_file(path).items()
        }
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
