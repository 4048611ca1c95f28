"""Loading checkpoints without running the code a pickle may hold.

mmengine unpickles whatever ``load_from``, ``--resume`` and ``init_cfg`` point to, so a downloaded
file could run anything. :func:`install_safe_loader` replaces the loaders behind all of them by
ones that build tensors, plain Python values and the few types which mmengine's own training
checkpoints hold, and refuse everything else.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mm_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

ASSETS = Path(__file__).parents[1] / 'assets'
_DTYPES = 'bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64'
_STATISTICS = ('min', 'max', 'current', 'mean')

_STEP = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


def _history_statistic(owner: Any, name: str) -> Callable:
    """Stand in for ``getattr``, by which a pickled ``HistoryBuffer`` names its own methods."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise ValueError(f'getattr({owner!r}, {name!r}) is not allowed in a checkpoint')
    return getattr(HistoryBuffer, name)


def _allowed_types() -> list:
    """What a training checkpoint of mmengine holds besides tensors and plain Python values."""
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    allowed += [type(np.dtype(name)) for name in _DTYPES.split()]
    core = np._core if hasattr(np, '_core') else np.core
    for function in (core.multiarray._reconstruct, core.multiarray.scalar):
        # The module has one name in files written with numpy 1 and another with numpy 2.
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
            allowed.append((function, f'{module}.{function.__name__}'))
    return allowed


def load_checkpoint_file(path: str | os.PathLike, map_location: Any = None) -> Any:
    """Load a checkpoint file, building nothing but tensors and known harmless types.

    Args:
        path: A ``.safetensors`` file (gives a flat state dict) or a file of ``torch.save``.
        map_location: As in :func:`torch.load`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file holds other types (named in the message), or is truncated or not a
            checkpoint.
    """
    return load_foreign_state(path, (), map_location)


def load_foreign_state(
    path: str | os.PathLike, stubs: Iterable[str], map_location: Any = None
) -> Any:
    """Load a checkpoint of another framework, which holds objects of its own beside the weights.

    As :func:`load_checkpoint_file`, but objects of the named types become empty ones that keep
    nothing and do nothing; neither their modules nor their code are looked up. Everything else is
    refused as there.

    Args:
        path: See :func:`load_checkpoint_file`.
        stubs: Names as the file spells them, such as ``'argparse.Namespace'`` in checkpoints of
            PyTorch Lightning. (A refusal names the types of a file.)
        map_location: As in :func:`torch.load`.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_checkpoint_file`.
    """
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path} does not exist.')
    if path.endswith('.safetensors'):
        return read_safetensors(path, map_location)[0]
    inert = [(type('Inert', (_Inert,), {}), name) for name in stubs]  # apart, as keys of a dict
    try:
        with torch.serialization.safe_globals(_allowed_types() + inert):
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise ValueError(_explain(path, error)) from error


def weights_in(checkpoint: Any) -> Any:
    """The state dict of a checkpoint that holds it under ``state_dict`` or (timm) ``model``."""
    if isinstance(checkpoint, Mapping):
        checkpoint = checkpoint.get('state_dict', checkpoint)
    if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get('model'), Mapping):
        checkpoint = checkpoint['model']
    return checkpoint


def step_checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Checkpoints ``iter_<N>.pth`` or ``epoch_<N>.pth`` of a folder, the one of most steps last."""
    found = [(_STEP.fullmatch(path.name), path) for path in Path(folder).glob('*.pth')]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def state_in(checkpoint: Any, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint (:func:`weights_in`).

    Raises:
        ValueError: It holds something else; names the file.
    """
    state = weights_in(checkpoint)
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f'{path} holds no weights: no tensors by their names')
    return dict(state)


class _Inert:
    """Takes the place of an object that is not wanted."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_safetensors(
    path: str | os.PathLike, map_location: Any = None
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a ``.safetensors`` file, and what its header says beside them.

    Raises:
        ValueError: It is truncated, or something else under that name.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt', device=str(map_location or 'cpu')) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f'{path} is truncated or not a safetensors file ({error}).') from error


def _explain(path: str, error: Exception) -> str:
    refused = sorted(set(re.findall(r'GLOBAL ([\w.]+)', str(error))))
    if not refused and 'is not allowed in a checkpoint' not in str(error):
        return (
            f'{path} cannot be read as a checkpoint: it is truncated, of another format '
            '(TorchScript archives of CLIP go into the backbone, not into load_from), or '
            f'damaged. Copy or download it again. ({type(error).__name__}: {error})'
        )
    what = f'objects of type {", ".join(refused)}' if refused else f'a forged object ({error})'
    return (
        f'Refused to load {path}: besides weights it holds {what}, and building them could run '
        'any code. Nothing of it has been run. If you trust where the file comes from, write its '
        'weights to a new file once and load that: python -c "import torch; torch.save('
        f"torch.load('{path}', weights_only=False)['state_dict'], 'weights.pth')\""
    )


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Safe loader of local paths."""
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Safe loader of ``http(s)://``: rank 0 downloads first, then every rank reads the file."""
    folder = os.path.join(torch.hub.get_dir(), 'checkpoints')
    name = os.path.basename(urlparse(filename).path)
    digest = torch.hub.HASH_REGEX.search(name)
    if not digest:  # other addresses may end in the same name
        name = f'{hashlib.sha1(filename.encode()).hexdigest()[:12]}-{name}'
    path = os.path.join(folder, name)
    rank, world_size = get_dist_info()
    if world_size > 1 and rank > 0:
        torch.distributed.barrier()
    try:
        if not os.path.exists(path):
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(filename, path, digest.group(1) if digest else None)
    finally:
        if world_size > 1 and rank == 0:
            torch.distributed.barrier()
    return load_checkpoint_file(path, map_location)


def load_from_zoo(filename: str, map_location: Any = None) -> Any:
    """Safe loader of ``torchvision://NAME`` and ``open-mmlab://NAME``."""
    scheme, name = filename.split('://', 1)
    if scheme in ('torchvision', 'modelzoo'):
        urls = mm_checkpoint.get_torchvision_models()
    else:
        urls = mm_checkpoint.get_external_models()
    if not str(urls.get(name, '')).startswith(('http://', 'https://')):
        raise ValueError(f'{filename}: no download address is known for the model {name!r}.')
    return load_from_http(urls[name], map_location)


def load_from_package(filename: str, map_location: Any = None) -> Any:
    """Loader of ``mmwsss://NAME``: weights shipped with the package, in single precision."""
    path = find_package_weights(filename)
    return {k: v.float() for k, v in load_checkpoint_file(path, map_location).items()}


def find_package_weights(filename: str) -> Path:
    """The file of ``mmwsss://NAME``; FileNotFoundError names those that are shipped."""
    path = ASSETS / f'{filename.split("://", 1)[1]}.safetensors'
    if not path.is_file():
        shipped = ', '.join(sorted(p.stem for p in ASSETS.glob('*.safetensors')))
        raise FileNotFoundError(f'{filename}: shipped weights are {shipped}')
    return path


def load_from_refused(filename: str, map_location: Any = None) -> Any:
    """Take the place of the remaining loaders of mmengine, which unpickle anything."""
    raise ValueError(
        f'{filename}: this kind of address has no safe loader. Download the file and pass its path.'
    )


def install_safe_loader() -> None:
    """Put the safe loaders in front of every way in which mmengine reads a checkpoint."""
    for prefix in list(CheckpointLoader._schemes):
        CheckpointLoader.register_scheme(prefix, load_from_refused, force=True)
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], load_from_http, force=True)
    CheckpointLoader.register_scheme('mmwsss://', load_from_package, force=True)
    zoos = ['torchvision://', 'modelzoo://', 'open-mmlab://', 'openmmlab://']
    CheckpointLoader.register_scheme(zoos, load_from_zoo, force=True)
