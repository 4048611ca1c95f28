"""Backbones that are never trained and not stored in checkpoints."""

import hashlib
from collections.abc import Mapping
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor


class FrozenBackbone(BaseModule):
    """A backbone whose weights come from a file of their own.

    Checkpoints hold a digest of the weights in place of the weights, and loading a checkpoint that
    was made with others is an error.

    Args:
        source: Where the weights come from, for messages.
        stored: Names of the towers that checkpoints hold all the same.
    """

    kind: ClassVar[str]  # what it is, for messages
    towers: ClassVar[tuple[str, ...]]  # its parts; the digest is that of the first

    def __init__(self, source: str, stored: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._source, self._stored = source, stored
        self._is_init = True
        self._register_load_state_dict_pre_hook(self._complete_state_dict)
        self.register_state_dict_post_hook(_drop_frozen)

    def freeze(self) -> None:
        """Freeze the towers and register the digest, once they are there."""
        self.requires_grad_(False)
        self.register_buffer('digest', digest(getattr(self, self.towers[0]).state_dict()))

    def train(self, mode: bool = True) -> 'FrozenBackbone':
        """Stay in evaluation mode."""
        return super().train(False)

    def _complete_state_dict(self, state_dict: dict, prefix: str, *_) -> None:
        """Fill in what checkpoints leave out; refuse those of other weights."""
        found = state_dict.setdefault(f'{prefix}digest', self.digest)
        if found.item() != self.digest.item():
            raise ValueError(
                f'This checkpoint was trained with another {self.kind} than the configured one '
                f'({self._source}): the digests of the weights differ. Point '
                f'model.{prefix}checkpoint to the {self.kind} file used in training.'
            )
        for name in self.towers:
            tower = getattr(self, name)
            if tower is not None:
                for key, value in tower.state_dict(prefix=f'{prefix}{name}.').items():
                    state_dict.setdefault(key, value)


def _drop_frozen(module: FrozenBackbone, state_dict: dict, prefix: str, *_) -> None:
    frozen = tuple(f'{prefix}{name}.' for name in module.towers if name not in module._stored)
    for key in [key for key in state_dict if key.startswith(frozen)]:
        del state_dict[key]


def digest(state: Mapping[str, Tensor]) -> Tensor:
    """First 63 bits of the SHA-256 of all weights, ``()`` int64."""
    sha = hashlib.sha256()
    for key in sorted(state):
        sha.update(key.encode())
        sha.update(state[key].contiguous().cpu().numpy().tobytes())
    return torch.tensor(int.from_bytes(sha.digest()[:8], 'big') >> 1)
