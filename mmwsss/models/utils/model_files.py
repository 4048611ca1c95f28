"""Files that a config names and whose content the outcome depends on: weights, banks, lists."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope

from mmwsss.registry import MODELS
from mmwsss.utils.checkpoint import find_package_weights
from mmwsss.utils.provenance import digest_file

from ..backbones.clip_vit import FrozenCLIP
from ..backbones.dinov2 import FrozenDINOv2
from ..text_encoders.attribute_bank import SHIPPED
from .clip_weights import find_clip_file
from .dino_weights import find_dino_file

_PACKAGE = 'mmwsss://'


def digest_named_files(cfg: Mapping) -> dict[str, str]:
    """Digests of all files that a config names, relative to the working directory.

    These are the checkpoints of frozen towers (``'openai'`` is the file that is found by that
    name), those of ``init_cfg``, ``load_from``, attribute banks, descriptions, class lists: every
    text that is the path of a file.

    Args:
        cfg: A config or a part of one.

    Returns:
        ``{key with dots: SHA-1}``.

    Raises:
        FileNotFoundError: Weights are missing; names the key and the remedy.
    """
    init_default_scope('mmseg')
    found = {}
    for key, owner, value in _texts(cfg):
        try:
            path = _file(owner, key.rpartition('.')[2], value)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{key}: {error}') from error
        if path is not None and os.path.isfile(path):
            found[key] = digest_file(path)
    return found


def _file(owner: Mapping, name: str, value: str) -> str | Path | None:
    """The file that the entry ``name=value`` of ``owner`` names; None if it is built in."""
    if value.startswith(_PACKAGE):
        return find_package_weights(value)
    if name == 'checkpoint' and value == 'random':
        return None
    if name == 'checkpoint' and isinstance(owner.get('type'), str):
        kind = MODELS.get(owner['type'])
        for base, find in ((FrozenCLIP, find_clip_file), (FrozenDINOv2, find_dino_file)):
            if isinstance(kind, type) and issubclass(kind, base):
                return find(value)
    if name == 'bank':
        return SHIPPED.get(value, value)
    return value


def _texts(value: Any, key: str = '', owner: Mapping = {}) -> Iterator[tuple[str, Mapping, str]]:
    """All texts of a nest of dictionaries and lists, with their keys and what they stand in."""
    if isinstance(value, str):
        yield key, owner, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f'{key}.{name}' if key else str(name), value)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f'{key}.{index}', {})
