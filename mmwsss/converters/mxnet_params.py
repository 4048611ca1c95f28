"""Reading MXNet's ``.params`` files without MXNet.

A file is a list of arrays and their names, all little-endian: uint64 0x112, uint64 0, uint64
number of arrays, the arrays, uint64 number of names, each a uint64 length and its bytes. An array
is, by age of the file: uint32 ndim, uint32 dims; or uint32 0xF993FAC8, uint32 ndim, int64 dims; or
uint32 0xF993FAC9, int32 storage type, uint32 ndim, int64 dims; then int32 device type, int32
device number, int32 element type and the elements.
"""

import os
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmwsss.utils.checks import check_unique

_LIST_MAGIC = 0x112
_SHAPE64, _STORAGE = 0xF993FAC8, 0xF993FAC9
_TYPES = ('f4', 'f8', 'f2', 'u1', 'i4', 'i1', 'i8')


class _Cursor:
    """Checked reading of a byte string from front to back."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data, self.source, self.place = data, source, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.place + size > len(self.data):
            raise ValueError(f'{self.source} is truncated or not an MXNet .params file')
        self.place += size
        return self.data[self.place - size : self.place]

    def numbers(self, layout: str) -> tuple:
        layout = f'<{layout}'
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def read_params(path: str | os.PathLike) -> dict[str, Tensor]:
    """Named arrays of a ``.params`` file (``mxnet.nd.save`` of a dictionary).

    Returns:
        ``{'arg:...' or 'aux:...': tensor}`` as the file has them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is truncated, of another format, or holds sparse or unnamed arrays, or
            two of one name.
    """
    cursor = _Cursor(Path(path).read_bytes(), str(path))
    magic, _, count = cursor.numbers('QQQ')
    if magic != _LIST_MAGIC:
        raise ValueError(f'{path} is not an MXNet .params file (it begins with {magic:#x})')
    arrays = [_read_array(cursor) for _ in range(count)]
    (names,) = cursor.numbers('Q')
    if names != count:
        raise ValueError(f'{path} has {count} arrays but {names} names')
    keys = [cursor.take(cursor.numbers('Q')[0]).decode(errors='replace') for _ in range(count)]
    check_unique(f'{path}: arrays', keys)
    return dict(zip(keys, arrays, strict=True))


def _read_array(cursor: _Cursor) -> Tensor:
    (head,) = cursor.numbers('I')
    if head == _STORAGE and cursor.numbers('i')[0] != 0:
        raise ValueError(f'{cursor.source} holds a sparse array')
    if head in (_SHAPE64, _STORAGE):
        (ndim,) = cursor.numbers('I')
        shape = cursor.numbers(f'{_checked_ndim(ndim, cursor)}q')
    else:
        shape = cursor.numbers(f'{_checked_ndim(head, cursor)}I')
    _, _, kind = cursor.numbers('iii')
    if not 0 <= kind < len(_TYPES) or min(shape) < 0:
        raise ValueError(f'{cursor.source}: an array of element type {kind} and shape {shape}')
    dtype = np.dtype(f'<{_TYPES[kind]}')
    size = dtype.itemsize
    for side in shape:
        size *= side
    return torch.from_numpy(np.frombuffer(cursor.take(size), dtype).reshape(shape).copy())


def _checked_ndim(ndim: int, cursor: _Cursor) -> int:
    if not 1 <= ndim <= 8:
        raise ValueError(f'{cursor.source}: an array of {ndim} dimensions')
    return ndim
