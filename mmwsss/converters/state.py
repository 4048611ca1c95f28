"""Reading the state dict of a foreign checkpoint."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from mmwsss.utils.checkpoint import load_foreign_state, weights_in
from mmwsss.utils.checks import some


def read_state(
    path: str | os.PathLike, stubs: Iterable[str] = (), part: str | None = None
) -> dict[str, Tensor]:
    """State dict of a checkpoint file, also of one that holds it under ``state_dict`` or ``model``.

    Args:
        path: Checkpoint.
        stubs: See :func:`mmwsss.utils.checkpoint.load_foreign_state`.
        part: The state dict may lie in an entry of this name, inside of those.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is no checkpoint, holds other types than tensors (never unpickled), or
            no dictionary of named tensors.
    """
    state = weights_in(load_foreign_state(path, stubs, 'cpu'))
    if isinstance(state, Mapping) and isinstance(state.get(part), Mapping):
        state = state[part]
    if not isinstance(state, Mapping):
        raise ValueError(
            f'{path} holds a {type(state).__name__}, not a state dict; save model.state_dict() '
            'with torch.save'
        )
    strange = [
        f'{key} ({type(value).__name__})'
        for key, value in state.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if strange:
        raise ValueError(
            f'{path} is not a state dict: {len(strange)} of its {len(state)} entries are not named '
            f'tensors: {some(strange)}; save model.state_dict() with torch.save'
        )
    return dict(state)


def convert_file(
    path: str | os.PathLike,
    convert: Callable[[Any], dict[str, Tensor]],
    read: Callable[[str | os.PathLike], Any] = read_state,
) -> dict[str, Tensor]:
    """What ``convert`` makes of the content of a file.

    Raises:
        FileNotFoundError, ValueError: Of ``read``, or of ``convert`` with the file's name.
    """
    content = read(path)
    try:
        return convert(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
