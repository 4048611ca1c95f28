"""Deterministic network weights from a manifest of state-dict keys.

A golden case of a whole network stores no weights: it stores the ordered
manifest ``{official state-dict key: shape}``, and both sides fill the tensors
with :func:`seeded_state_dict`.  Values depend only on the key, the shape and
``seed``, so a converted checkpoint must give the stored outputs.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch


def seeded_tensor(key: str, shape: Sequence[int], seed: int = 0) -> torch.Tensor:
    """The tensor of ``key``.

    ``num_batches_tracked`` -> 0 (int64); ``running_var`` -> in [0.5, 1.5);
    ``running_mean`` -> N(0, 0.1); 0- and 1-d ``weight``/``gamma`` -> 1 + N(0, 0.1);
    other 0- and 1-d (biases, class tokens) -> N(0, 0.02);
    2-d and more -> N(0, 1 / sqrt(fan_in)), fan_in = product of all dims but
    the first.
    """
    shape = tuple(int(s) for s in shape)
    rng = np.random.default_rng([zlib.crc32(key.encode()), seed])
    leaf = key.rsplit('.', 1)[-1]
    if leaf == 'num_batches_tracked':
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == 'running_var':
        array = 0.5 + rng.random(shape)
    elif leaf == 'running_mean':
        array = 0.1 * rng.standard_normal(shape)
    elif len(shape) <= 1 and leaf in ('weight', 'gamma'):
        array = 1 + 0.1 * rng.standard_normal(shape)
    elif len(shape) <= 1:
        array = 0.02 * rng.standard_normal(shape)
    else:
        fan_in = int(np.prod(shape[1:]))
        array = rng.standard_normal(shape) / np.sqrt(fan_in)
    return torch.from_numpy(np.asarray(array, dtype=np.float32).reshape(shape))


def seeded_state_dict(
    manifest: Mapping[str, Sequence[int]], seed: int = 0
) -> OrderedDict[str, torch.Tensor]:
    """A state dict for every ``key: shape`` of ``manifest``, in its order."""
    shapes = tuple((key, tuple(shape)) for key, shape in manifest.items())
    return OrderedDict((key, value.clone()) for key, value in _drawn(shapes, seed))


@lru_cache(maxsize=1)
def _drawn(shapes: tuple, seed: int) -> list[tuple[str, torch.Tensor]]:
    """Cases that follow one another often have one network; drawing it takes seconds."""
    return [(key, seeded_tensor(key, shape, seed)) for key, shape in shapes]


def load_manifest(path: str | Path) -> OrderedDict[str, list[int]]:
    """Read a ``manifest.json``: an object of ``key: shape``."""
    return json.loads(Path(path).read_text(), object_pairs_hook=OrderedDict)


def seeded_image(height: int, width: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Smooth random images, float32 in [0, 255], shape (batch, 3, height, width), RGB."""
    rng = np.random.default_rng([987654321, seed, height, width])
    coarse = torch.from_numpy(
        rng.random((batch, 3, max(2, height // 8), max(2, width // 8)), dtype=np.float64).astype(
            np.float32
        )
    )
    image = torch.nn.functional.interpolate(
        coarse, size=(height, width), mode='bicubic', align_corners=False
    )
    return (image.clamp(0, 1) * 255).round()
