"""Resuming the trainings of the small shipped networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmwsss.utils.io import atomic_write
from mmwsss.utils.provenance import as_json, compare_settings


def load_last(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an interrupted run has left; None: nothing.

    Raises:
        ValueError: It was begun with other settings; says which.
    """
    if not path.is_file():
        return None
    saved = torch.load(path, weights_only=True)
    if changes := compare_settings(saved.get('settings', {}), as_json(settings)):
        raise ValueError(f'{path} was begun with other settings: {"; ".join(changes)}')
    return saved


def save_last(path: Path, settings: Mapping[str, Any], **state: Any) -> None:
    """Write what :func:`load_last` reads, whole or not at all."""
    with atomic_write(path) as temporary:
        torch.save(dict(state, settings=as_json(settings)), temporary)
