"""Reading the weights of a ``.caffemodel`` without Caffe.

The file is a protocol buffer (``NetParameter``). Fields used: layer 100 (name 1, blobs 7) or,
in older files, layers 2 (name 4, blobs 6); of a blob: data 5 (packed float32) and shape 7 (dim 1)
or, older, num, channels, height, width 1 to 4.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmwsss.utils.checks import check_unique

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LAYERS = {100: (1, 7), 2: (4, 6)}  # field of the layer: fields of its name and of its blobs


def read_caffemodel(path: str | os.PathLike) -> dict[str, list[Tensor]]:
    """Blobs of every layer that has some.

    Returns:
        ``{layer name: [float32 tensor, ...]}``: weight, then bias.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is truncated or not a ``.caffemodel``, or two layers have one name.
    """
    try:
        layers = list(_read_layers(memoryview(Path(path).read_bytes())))
    except (IndexError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is truncated or not a .caffemodel ({error})') from error
    if not layers:
        raise ValueError(f'{path} is not a .caffemodel: it holds no layer with weights')
    check_unique(f'{path}: layers', [name for name, _ in layers])
    return dict(layers)


def _read_layers(net: memoryview) -> Iterator[tuple[str, list[Tensor]]]:
    for number, layer in _fields(net):
        if number not in _LAYERS:
            continue
        name_field, blob_field = _LAYERS[number]
        name, blobs = '', []
        for inner, value in _fields(layer):
            if inner == name_field:
                name = str(value, 'utf-8')
            elif inner == blob_field:
                blobs.append(_read_blob(value))
        if blobs:
            yield name, blobs


def _read_blob(blob: memoryview) -> Tensor:
    data, shape, old_shape = [], [], {}
    for number, value in _fields(blob):
        if number == 5:
            data.append(np.frombuffer(value, '<f4'))
        elif number == 7:
            shape = [dim for inner, dims in _fields(value) if inner == 1 for dim in _dims(dims)]
        elif number <= 4:
            old_shape[number] = value
    shape = shape or [old_shape.get(i, 1) for i in range(1, 5)]
    return torch.from_numpy(np.concatenate(data).reshape(shape))


def _dims(value: int | memoryview) -> list[int]:
    """A repeated integer: one value, or several packed."""
    if isinstance(value, int):
        return [value]
    dims, place = [], 0
    while place < len(value):
        dim, place = _varint(value, place)
        dims.append(dim)
    return dims


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field of a message."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if kind == _BYTES:
                size, place = _varint(message, place)
            if size is None or place + size > len(message):
                raise ValueError(f'field {number} of kind {kind}')
            value, place = message[place : place + size], place + size
        yield number, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
