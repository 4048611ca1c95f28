"""Reading the activation maps that the official codes write: pickled dictionaries in ``.npy``."""

import collections
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.utils import track_iter_progress
from numpy.lib import format as npy_format

from ...stores.cam_store import check_maps, save_cam
from ...utils.checks import check_apart, check_range
from ...utils.images import find_images, picture_size
from ...utils.provenance import claim, drop_leftovers
from .common import scan_files, warn_left_out

# SEAM normalises by (cam - 1e-5) / (max + 1e-5), which makes -1 of a map of zeros.
MOST_NEGATIVE = -1.001
# Full-size maps first: IRN, CLIP-ES (refined, plain); 'cam' is IRN's map at a quarter of the size.
MAP_FIELDS = ('high_res', 'attn_highres', 'highres', 'cam')


def read_official_cam(
    path: str | os.PathLike, num_foreground: int | None = None, field: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a ``.npy`` file with a dictionary of maps, building nothing but arrays.

    Two layouts: ``{0-based foreground class: (h, w) map}`` (PSA, SEAM, MCTformer, PMM) and
    ``{'keys': (K,), <field>: (K, h, w), ...}`` (IRN, CLIP-ES).

    Args:
        path: The file.
        num_foreground: Number of foreground classes; None: not checked.
        field: Field of the second layout; None: the first of :data:`MAP_FIELDS` it holds.

    Returns:
        int64 labels ``(K,)`` and float32 maps ``(K, h, w)``. Negative values, which SEAM's
        normalisation gives to zeros, are set to 0.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, of another layout, with other objects than arrays, or with
            classes or values out of range.
    """
    content = read_dictionary(path)
    try:
        labels, maps = _labels_and_maps(content, field)
        if maps.dtype.kind not in 'fiub':
            raise ValueError(f'its maps are {maps.dtype}, no real numbers')
        if labels.size and not maps.size:
            raise ValueError(f'its maps are empty, of shape {maps.shape}')
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f'{path}: {error}') from error
    maps = maps.astype(np.float32)
    if maps.size and maps.min() < MOST_NEGATIVE:
        raise ValueError(f'{path}: the maps go down to {maps.min():.3g}, outside [0, 1]')
    return check_maps(path, labels, maps.clip(min=0), num_foreground)


def _labels_and_maps(content: dict, field: str | None) -> tuple[np.ndarray, np.ndarray]:
    if 'keys' in content:
        names = [field] if field else MAP_FIELDS
        found = [name for name in names if content.get(name) is not None]
        if not found:
            raise ValueError(f'it holds {list(content)[:10]}, but none of {list(names)}')
        return np.asarray(content['keys']), np.asarray(content[found[0]])
    if not all(type(key) is not bool and isinstance(key, int | np.integer) for key in content):
        raise ValueError(
            f'it holds the keys {list(content)[:5]}; expected classes, or "keys" and maps'
        )
    if field:
        raise ValueError(f'it is a dictionary of classes without a field {field!r}')
    labels = np.array(sorted(content), dtype=np.int64)
    shapes = {np.shape(content[key]) for key in content}
    if len(shapes) > 1:
        raise ValueError(f'its maps have different shapes {sorted(shapes)}')
    maps = np.stack([content[key] for key in labels]) if content else np.zeros((0, 1, 1))
    return labels, maps


def import_cams(
    source: str | os.PathLike,
    store: str | os.PathLike,
    images: str | os.PathLike,
    num_foreground: int,
    field: str | None = None,
    restart: bool = False,
) -> int:
    """Turn a folder of official ``.npy`` dictionaries into a CAM store.

    A run that was interrupted goes on where it stopped.

    Args:
        source: Folder of ``<image id>.npy``; what is left out there is logged.
        store: Folder to write ``<image id>.npz`` into.
        images: Folder of the images, any extension, from which the sizes are read.
        num_foreground, field: As in :func:`read_official_cam`.
        restart: Throw away what the store holds of other settings or files.

    Returns:
        The number of files.

    Raises:
        FileNotFoundError: A folder does not exist, or images are missing (counted and named).
        ValueError: The folder holds no ``.npy`` file, two images have one id, the store is one of
            the inputs or holds results of other settings or files, or a file is wrong.
    """
    check_apart({'the store': store}, {'source': source, 'images': images})
    check_range('number of foreground classes', num_foreground, 1, integer=True)
    scanned = scan_files(source, '.npy', 'Source')
    ids = warn_left_out(scanned)
    pictures = find_images(images, ids)
    settings = dict(
        made_by='import_cams',
        source=os.path.realpath(source),
        images=os.path.realpath(images),
        num_foreground=num_foreground,
        field=field,
    )
    inputs = {key: (scanned.found[key], pictures[key]) for key in ids}
    done = claim(store, '.npz', settings, inputs, restart)
    drop_leftovers(store, '.npz', inputs, restart)
    for key in track_iter_progress([key for key in ids if key not in done]):
        labels, maps = read_official_cam(scanned.found[key], num_foreground, field)
        size = picture_size(pictures[key])
        _check_turn(scanned.found[key], pictures[key], maps.shape[1:], size)
        save_cam(Path(store) / f'{key}.npz', labels, maps, size)
    return len(ids)


def _check_turn(path: Path, picture: Path, shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse upright maps of a lying image, as made from a file whose EXIF entry was not read."""
    lying = [(width > 1.1 * height) - (height > 1.1 * width) for height, width in (shape, size)]
    if lying[0] * lying[1] < 0:
        raise ValueError(
            f'{path}: its maps are {shape[1]}x{shape[0]} but {picture} is shown as '
            f'{size[1]}x{size[0]} (width x height). If the code that made the maps did not turn '
            'the picture as its EXIF entry says, turn the file itself and make the maps again.'
        )


def read_dictionary(path: str | os.PathLike) -> dict:
    """Read a dictionary saved with ``numpy.save``, building nothing but arrays and plain values.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, something else, or with other objects.
    """
    remedy = 'expected a dictionary of arrays saved with numpy.save'
    try:
        with open(path, 'rb') as file:
            version = npy_format.read_magic(file)
            read_header = getattr(npy_format, f'read_array_header_{version[0]}_{version[1]}')
            _, _, dtype = read_header(file)
            if not dtype.hasobject:
                raise ValueError(f'it is a plain array of {dtype}')
            content = _ArrayUnpickler(file).load()
        content = content.item() if isinstance(content, np.ndarray) else content
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f'{path}: {error}; {remedy}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}; {remedy}')
    return content


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle arrays, tensors and plain Python values; refuse every other type."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        module = module.replace('numpy._core', 'numpy.core')  # numpy 2 writes the former
        if (module, name) not in _ALLOWED:
            raise ValueError(
                f'refused to build an object of type {module}.{name}, which could run any code'
            )
        return _ALLOWED[module, name]


def _load_storage(content: bytes) -> Any:
    """Stand in for torch's loader of pickled storages, which unpickles anything."""
    return torch.load(io.BytesIO(content), weights_only=True)


_CORE = np._core if hasattr(np, '_core') else np.core
_ALLOWED = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('numpy', 'dtype'): np.dtype,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy.core.multiarray', '_reconstruct'): _CORE.multiarray._reconstruct,
    ('numpy.core.multiarray', 'scalar'): _CORE.multiarray.scalar,
    ('numpy.core.numeric', '_frombuffer'): _CORE.numeric._frombuffer,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_storage,
}
