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
from PIL import Image

from ..cam_store import check_maps, save_cam

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
    content = _read_dictionary(path)
    if 'keys' in content:
        names = [field] if field else MAP_FIELDS
        found = [name for name in names if content.get(name) is not None]
        if not found:
            raise ValueError(f'{path} holds {list(content)}, but none of {list(names)}')
        labels, maps = np.asarray(content['keys']), np.asarray(content[found[0]])
    elif all(isinstance(key, int | np.integer) for key in content):
        labels = np.array(sorted(content), dtype=np.int64)
        shapes = {np.shape(content[key]) for key in content}
        if len(shapes) > 1:
            raise ValueError(f'{path}: its maps have different shapes {sorted(shapes)}')
        maps = np.stack([content[key] for key in labels]) if content else np.zeros((0, 1, 1))
    else:
        raise ValueError(
            f'{path} holds the keys {list(content)[:5]}; expected classes, or "keys" and maps'
        )
    return check_maps(path, labels, maps.astype(np.float32).clip(min=0), num_foreground)


def import_cams(
    source: str | os.PathLike,
    store: str | os.PathLike,
    images: str | os.PathLike,
    num_foreground: int,
    field: str | None = None,
) -> int:
    """Turn a folder of official ``.npy`` dictionaries into a CAM store.

    Args:
        source: Folder of ``<image id>.npy``.
        store: Folder to write ``<image id>.npz`` into.
        images: Folder of the images, any extension, from which the sizes are read.
        num_foreground, field: As in :func:`read_official_cam`.

    Returns:
        The number of files.

    Raises:
        ValueError: The folder holds no ``.npy`` file, images are missing (counted and named), or
            a file is wrong.
    """
    files = sorted(Path(source).glob('*.npy'))
    if not files:
        raise ValueError(f'{source} holds no .npy file')
    pictures = {path.stem: path for path in Path(images).iterdir()}
    missing = [path.stem for path in files if path.stem not in pictures]
    if missing:
        raise ValueError(
            f'{images} has no image for {len(missing)} of {len(files)} files: '
            f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}'
        )
    for path in track_iter_progress(files):
        labels, maps = read_official_cam(path, num_foreground, field)
        with Image.open(pictures[path.stem]) as image:
            width, height = image.size
        save_cam(Path(store) / f'{path.stem}.npz', labels, maps, (height, width))
    return len(files)


def _read_dictionary(path: str | os.PathLike) -> dict:
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
