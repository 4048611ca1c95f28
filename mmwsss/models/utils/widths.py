"""Widths of a head against those of the backbone, compared when a model is built."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call

_SIDE = 224  # the one size that every backbone takes


@torch.no_grad()
def map_channels(*modules: nn.Module) -> list[int] | None:
    """Channels of the maps that a backbone gives, found without computing anything.

    Args:
        modules: The backbone, and a neck if there is one.

    Returns:
        Finest map first; None where it cannot be found without real images.
    """
    chain = nn.Sequential(*modules)
    tensors = {**dict(chain.named_parameters()), **dict(chain.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device='meta') for name, tensor in tensors.items()}
    images = torch.empty(2, 3, _SIDE, _SIDE, device='meta')
    try:
        maps = functional_call(chain, shapes, (images,))
        return [level.shape[1] for level in ([maps] if isinstance(maps, torch.Tensor) else maps)]
    except Exception:  # other people's backbones, which may look at values
        return None


def check_map_widths(
    head: str, widths: int | Sequence[int], index: int | Sequence[int], maps: Sequence[int] | None
) -> None:
    """Compare ``in_channels`` of a head with the channels of the maps that it takes.

    Args:
        head: Name of the head in the config.
        widths: Its ``in_channels``; one number for several maps is their sum.
        index: Its ``in_index``.
        maps: See :func:`map_channels`; None is not compared.

    Raises:
        ValueError: They differ, or there is no such map.
    """
    if maps is None:
        return
    indices = [index] if isinstance(index, int) else list(index)
    if any(not -len(maps) <= i < len(maps) for i in indices):
        raise ValueError(
            f'{head}.in_index is {index}, but the backbone gives {len(maps)} maps '
            '(backbone.out_indices)'
        )
    taken = [maps[i] for i in indices]
    if isinstance(widths, int):
        taken = sum(taken)
    if (list(widths) if isinstance(taken, list) else widths) != taken:
        raise ValueError(
            f'{head}.in_channels is {widths}, but the maps {head}.in_index={index} of the backbone '
            f'(backbone.out_indices) have {taken} channels: correct one of them'
        )


def check_width(key: str, width: object, source: str, given: object) -> None:
    """Raise ValueError, naming both, unless a width of a head is that of what it is given."""
    if width != given:
        raise ValueError(f'{key} is {width}, but {source} is {given}: they must be equal')
