"""The CAM store: a folder with the activation maps of every image."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmwsss.utils.io import write_arrays

MAX_CLASSES = 2**15  # labels are stored as int16


@dataclass
class StoredCAM:
    """Activation maps of the classes in an image's labels.

    Attributes:
        labels: int64 ``(K,)``, 0-based foreground indices.
        cam: Float ``(K, h, w)`` in [0, 1], as stored; (h, w) may be smaller than the image.
        size: Height and width of the image.
        scores: Float ``(K,)`` in [0, 1], probabilities of the labels, if these were predicted.
    """

    labels: np.ndarray
    cam: np.ndarray
    size: tuple[int, int]
    scores: np.ndarray | None = None


def load_cam(
    path: str | os.PathLike,
    num_foreground: int | None = None,
    size: tuple[int, int] | None = None,
) -> StoredCAM:
    """Read and check a file of a CAM store (written by :func:`save_cam`).

    Args:
        path: ``<image id>.npz`` with ``labels`` ``(K,)``, ``cam`` ``(K, h, w)`` and ``size``; it
            may have ``scores`` ``(K,)``.
        num_foreground: Number of foreground classes; None: any class is accepted.
        size: Height and width that the image really has; None: not checked.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is truncated or no CAM store, belongs to an image of another size,
            or holds classes or values outside their range, or maps that cannot be reduced ones of
            the image. The message names the file.
    """
    arrays = read_store(path, ('labels', 'cam', 'size'), ('scores',))
    stored_size = check_size(path, arrays['size'], size)
    labels, cam = check_maps(path, arrays['labels'], arrays['cam'], num_foreground)
    _check_grid(path, cam, stored_size)
    scores = arrays.get('scores')
    if scores is not None:
        _check_scores(path, scores, labels)
    return StoredCAM(labels, cam, stored_size, scores)


def save_cam(
    path: str | os.PathLike,
    labels: np.ndarray,
    cam: np.ndarray,
    size: tuple[int, int],
    scores: np.ndarray | None = None,
) -> None:
    """Write a file of a CAM store, atomically.

    Args:
        path: ``<image id>.npz``.
        labels: ``(K,)``, 0-based foreground indices.
        cam: ``(K, h, w)`` in [0, 1]; stored as float16.
        size: Height and width of the image.
        scores: ``(K,)`` in [0, 1], probabilities of predicted labels; stored as float32.

    Raises:
        ValueError: Shapes, classes or values are wrong.
    """
    labels, cam = check_maps(path, labels, cam, MAX_CLASSES)
    _check_grid(path, cam, check_size(path, np.array(size), None))
    arrays = dict(labels=np.int16(labels), cam=np.float16(cam), size=np.array(size, np.int32))
    if scores is not None:
        _check_scores(path, scores, labels)
        arrays['scores'] = np.float32(scores)
    write_arrays(path, **arrays)


def read_store(
    path: str | os.PathLike, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read the named arrays of an ``.npz`` file, never unpickling anything.

    Args:
        path: The file.
        names: Arrays it has to hold.
        optional: Arrays that are read if it has them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, of another format, or an array is missing or holds objects.
    """
    remedy = 'Run the stage that writes it again, or correct the folder in the config.'
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist. {remedy}')
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise ValueError(f'it holds {file.files} but no {", ".join(missing)}')
            there = [name for name in optional if name in file.files]
            return {name: file[name] for name in (*names, *there)}
    except Exception as error:  # zip and npy readers raise whatever the broken bytes lead to
        raise ValueError(
            f'{path} is truncated or not a store of {", ".join((*names, *optional))} '
            f'({type(error).__name__}: {error}). {remedy}'
        ) from error


def check_maps(
    path: str | os.PathLike, labels: np.ndarray, cam: np.ndarray, num_foreground: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Check that ``cam`` ``(K, h, w)`` are maps in [0, 1] of the ``K`` classes ``labels``.

    Returns:
        The labels as int64, and the maps.

    Raises:
        ValueError: Shapes, classes or values are wrong.
    """
    if labels.ndim != 1 or cam.ndim != 3 or len(cam) != len(labels):
        raise ValueError(f'{path}: maps of shape {cam.shape} for labels of shape {labels.shape}')
    if labels.dtype.kind not in 'iu' or cam.dtype.kind != 'f':
        raise ValueError(f'{path}: labels are {labels.dtype} and maps {cam.dtype}')
    check_unit(path, 'the maps', cam)
    return check_labels(path, labels, num_foreground), cam


def check_labels(
    path: str | os.PathLike, labels: np.ndarray, num_foreground: int | None = None
) -> np.ndarray:
    """The labels ``(K,)`` as int64.

    Raises:
        ValueError: They are not different foreground indices.
    """
    if labels.ndim != 1 or labels.dtype.kind not in 'iu':
        raise ValueError(f'{path}: labels are {labels.dtype} of shape {labels.shape}')
    last = np.inf if num_foreground is None else num_foreground - 1
    if ((labels < 0) | (labels > last)).any() or len(np.unique(labels)) < len(labels):
        raise ValueError(
            f'{path}: labels {labels.tolist()} are not different foreground classes from '
            f'0..{last} (background is not counted)'
        )
    return labels.astype(np.int64)


def check_unit(path: str | os.PathLike, what: str, values: np.ndarray) -> None:
    """Raise ValueError unless all values, which may be none, lie in [0, 1]; NaN does not."""
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f'{path}: {what} range from {values.min():.3g} to {values.max():.3g}, outside [0, 1]'
        )


def _check_scores(path: str | os.PathLike, scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.shape != labels.shape or scores.dtype.kind != 'f':
        raise ValueError(
            f'{path}: scores are {scores.dtype} of shape {scores.shape} for {len(labels)} labels'
        )
    check_unit(path, 'the scores', scores)


def check_size(
    path: str | os.PathLike, stored: np.ndarray, size: tuple[int, int] | None
) -> tuple[int, int]:
    """Height and width of a stored ``size`` array, which must be ``size`` if that is given.

    Raises:
        ValueError: It is no size, or another one.
    """
    if stored.shape != (2,) or stored.dtype.kind not in 'iu' or stored.min() < 1:
        raise ValueError(f'{path}: size {stored.tolist()} is not a height and a width')
    height, width = stored.tolist()
    if size is not None and (height, width) != tuple(size):
        raise ValueError(
            f'{path} belongs to an image of {height} x {width} pixels, this one has '
            f'{size[0]} x {size[1]}: the store is that of another version of the images'
        )
    return height, width


def _check_grid(path: str | os.PathLike, cam: np.ndarray, size: tuple[int, int]) -> None:
    """Raise ValueError for maps ``(K, h, w)`` that are larger than the image, or turned."""
    (h, w), (height, width) = cam.shape[1:], size
    turned = (h - w) * (height - width) < 0
    if len(cam) and (h > height or w > width or turned):
        raise ValueError(
            f'{path}: maps of {h} x {w} (height x width) are not those of an image of {height} x '
            f'{width}: they may be smaller, but not larger or turned'
        )
