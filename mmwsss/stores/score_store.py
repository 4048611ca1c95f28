"""Scores of an image under one exponent of the background (PMM), or a low and a high one (PSA)."""

import os

import numpy as np

from mmwsss.ops.resize import reduced_size
from mmwsss.utils.io import write_arrays

from .cam_store import check_labels, check_unit, read_store

ARRAYS = ('low', 'high')


def load_scores(
    path: str | os.PathLike, size: tuple[int, int], num_foreground: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read and check a file that :func:`save_scores` has written.

    Args:
        path: ``<image id>.npz``.
        size: Height and width of the image.
        num_foreground: Number of foreground classes; None: any class is accepted.

    Returns:
        Labels int64 ``(K,)``, and the scores ``low`` and ``high`` ``(1 + K, h, w)`` as stored.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, of another form, classes or scores out of range, or of an image of
            another size. The message names the file.
    """
    arrays = read_store(path, ('labels', *ARRAYS))
    labels = check_labels(path, arrays['labels'], num_foreground)
    for name in ARRAYS:
        _check_scores(path, name, arrays[name], len(labels))
        _check_grid(path, name, arrays[name].shape[1:], size)
    return labels, arrays['low'], arrays['high']


def load_rough_scores(
    path: str | os.PathLike, size: tuple[int, int], num_foreground: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read and check a file of :class:`mmwsss.stages.ScoresFromCAMs`.

    Args:
        path, size, num_foreground: See :func:`load_scores`.

    Returns:
        Labels int64 ``(K,)``, and the scores ``(1 + K, H, W)`` as stored.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_scores`.
    """
    arrays = read_store(path, ('labels', 'scores'))
    labels, scores = check_labels(path, arrays['labels'], num_foreground), arrays['scores']
    _check_scores(path, 'scores', scores, len(labels))
    if scores.shape[1:] != tuple(size):
        raise ValueError(
            f'{path}: scores are {scores.shape[1]} x {scores.shape[2]} (height x width), the image '
            f'is {size[0]} x {size[1]}: the store is that of another version of the images'
        )
    return labels, scores


def _check_scores(path: str | os.PathLike, name: str, scores: np.ndarray, classes: int) -> None:
    if scores.ndim != 3 or len(scores) != 1 + classes or 0 in scores.shape:
        raise ValueError(
            f'{path}: {name} has the shape {scores.shape}, expected {1 + classes} maps '
            '(background and classes)'
        )
    if scores.dtype.kind != 'f':
        raise ValueError(f'{path}: {name} is {scores.dtype}, expected floats')
    check_unit(path, name, scores)


def save_scores(
    path: str | os.PathLike, labels: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Write scores ``(1 + K, h, w)`` in [0, 1], background first, of classes ``(K,)``, atomically.

    Labels are stored as int16, scores as float16.

    Raises:
        ValueError: Shapes, labels or values are others.
    """
    labels = check_labels(path, np.asarray(labels))
    for name, scores in (('low', low), ('high', high)):
        _check_scores(path, name, scores, len(labels))
    write_arrays(path, labels=np.int16(labels), low=np.float16(low), high=np.float16(high))


def _check_grid(
    path: str | os.PathLike, name: str, grid: tuple[int, int], size: tuple[int, int]
) -> None:
    """Refuse scores that are no reduction of an image of ``size`` by a whole number."""
    stride = max(-(-side // cells) for side, cells in zip(size, grid, strict=True))
    if reduced_size(size, stride) != tuple(grid):
        raise ValueError(
            f'{path}: {name} is {grid[0]} x {grid[1]} (height x width), which does not fit an '
            f'image of {size[0]} x {size[1]}: the store is that of another version of the images'
        )
