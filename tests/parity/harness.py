"""Golden cases: discovery, loading and comparison.

``<root>/<method>/*.npz`` hold ``in_*`` and ``param_*`` arrays and the ``out_*`` arrays that the
official code gave. An adapter turns the former into the latter with our functions.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from .seeded_weights import seeded_state_dict

STORED = Path(__file__).parents[1] / 'golden'
ROOT = Path(os.environ.get('MMWSSS_GOLDEN', STORED))
METHODS = sorted(
    p.stem for p in (Path(__file__).parent / 'adapters').glob('*.py') if p.stem != '__init__'
)

Compare = Callable[[np.ndarray, np.ndarray], str]


@dataclass
class Spread:
    """A result that is only determined up to ``spread`` (elementwise), and why is measured.

    For chaotic computations: what another rounding of the same input changes.
    """

    value: np.ndarray
    spread: np.ndarray


def with_spread(
    run: Callable[[torch.Tensor], dict], x: torch.Tensor, draws: int = 2
) -> dict[str, Spread]:
    """Results of a chaotic computation on ``x``, and twice what other last bits of ``x`` change."""
    out, moved = run(x), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(draws):
        bits = torch.randint(-1, 2, x.shape, generator=generator, dtype=torch.int32)
        moved.append(run((x.view(torch.int32) + bits).view(torch.float32)))
    return {
        key: Spread(value, 2 * np.max([np.abs(m[key] - value) for m in moved], axis=0))
        for key, value in out.items()
    }


@dataclass
class Case:
    """One golden case; ``case['name']`` is the array, ``tensor`` the same as a tensor."""

    path: Path

    def __post_init__(self) -> None:
        with np.load(self.path, allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def keys(self):
        return self.arrays.keys()

    def tensor(self, key: str) -> torch.Tensor:
        value = torch.from_numpy(np.asarray(self.arrays[key]))
        return value.float() if value.dtype == torch.float16 else value

    def decimal(self, key: str) -> float:
        """A float32 parameter as it was written: 0.63, not 0.62999999."""
        return float(str(np.float32(self[key])))

    def views(self, prefix: str, flip: bool = False) -> list[torch.Tensor]:
        """``<prefix>0``, ``<prefix>1``, ...; with ``flip`` the odd ones are mirrored back."""
        count = sum(key.startswith(prefix) for key in self.keys())
        views = [self.tensor(f'{prefix}{i}') for i in range(count)]
        return [v.flip(-1) if flip and i % 2 else v for i, v in enumerate(views)]

    def manifest(self, *names: str) -> OrderedDict:
        """The first manifest that is beside the case, or else in the stored copy."""
        for folder in (self.path.parent, STORED / self.path.parent.name):
            for name in names:
                if (folder / name).is_file():
                    return json.loads((folder / name).read_text(), object_pairs_hook=OrderedDict)
        raise FileNotFoundError(f'{" or ".join(names)} is not beside {self.path}')

    def weights(self, *manifests: str) -> OrderedDict:
        """Seeded weights of a manifest (``param_seed`` or ``param_weight_seed``)."""
        seed = 'param_seed' if 'param_seed' in self else 'param_weight_seed'
        return seeded_state_dict(self.manifest(*manifests), int(self[seed]))


def close(atol: float = 0.0, rtol: float = 0.0) -> Compare:
    """Elementwise tolerance; NaN only where the official result has NaN."""

    def compare(ours: np.ndarray, golden: np.ndarray) -> str:
        ours, golden = ours.astype(np.float64), golden.astype(np.float64)
        if np.allclose(ours, golden, rtol=rtol, atol=atol, equal_nan=True):
            return ''
        return (
            f'largest deviation {np.nanmax(np.abs(ours - golden)):.3g} (atol {atol}, rtol {rtol})'
        )

    return compare


def close_to_max(rtol: float, rows: bool = False) -> Compare:
    """Deviation relative to the largest value of the array, or of each row."""

    def compare(ours: np.ndarray, golden: np.ndarray) -> str:
        axes = tuple(range(1, golden.ndim)) if rows else None
        worst = np.max(np.abs(ours - golden).max(axes) / (np.abs(golden).max(axes) + 1e-30))
        return '' if worst <= rtol else f'deviation {worst:.3g} of the maximum (tolerance {rtol})'

    return compare


def close_to_scale(tolerance: float) -> Compare:
    """Largest deviation relative to the largest value of the array, or to 1 if that is more."""

    def compare(ours: np.ndarray, golden: np.ndarray) -> str:
        ours, golden = ours.astype(np.float64), golden.astype(np.float64)
        scale = max(1.0, np.abs(golden).max(initial=0))
        worst = np.abs(ours - golden).max(initial=0)
        if worst <= tolerance * scale:  # not if it is NaN
            return ''
        return f'deviation {worst:.3g} at a scale of {scale:.3g} (tolerance {tolerance})'

    return compare


def agree(share: float) -> Compare:
    """Share of equal entries."""

    def compare(ours: np.ndarray, golden: np.ndarray) -> str:
        equal = float(np.mean(ours == golden))
        return '' if equal >= share else f'{equal:.5f} of the entries are equal (need {share})'

    return compare


exact = agree(1.0)


def marginals(atol: float, share: float = 0.999) -> Compare:
    """Probabilities ``(C, H, W)`` within ``atol``, and a share of equal labels."""

    def compare(ours: np.ndarray, golden: np.ndarray) -> str:
        return close(atol)(ours, golden) or agree(share)(ours.argmax(0), golden.argmax(0))

    return compare


def crf_arguments(values: np.ndarray) -> dict[str, float]:
    """Iterations, then weight and deviations of the Gaussian and of the bilateral term."""
    names = ('iterations', 'gaussian_compat', 'gaussian_sxy')
    names = (*names, 'bilateral_compat', 'bilateral_sxy', 'bilateral_srgb')
    return dict(zip(names, values.tolist(), strict=True))


def unpack_present(scores: torch.Tensor, classes: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Packed scores ``(B, 1 + K, H, W)`` at the channels of all classes, zero elsewhere.

    Args:
        classes: ``(B, K)`` 0-based, -1 for none.
    """
    out = scores.new_zeros(len(scores), 1 + num_classes, *scores.shape[2:])
    out[:, 0] = scores[:, 0]
    image, slot = (classes >= 0).nonzero(as_tuple=True)
    out[image, 1 + classes[image, slot]] = scores[image, 1 + slot]
    return out


def find_cases() -> list[Path]:
    """Golden cases of the methods that have adapters."""
    return [case for method in METHODS for case in sorted((ROOT / method).glob('*.npz'))]


def run_case(path: Path) -> list[str]:
    """Failures of a case: ``<array>: <what is wrong>``."""
    case = Case(path)
    module = _module(path.parent.name)
    names = [name for name in module.ADAPTERS if _belongs(path.stem, name)]
    if not names:
        return [f'no adapter for {path.stem}']
    name = max(names, key=len)
    with no_initialisation():
        ours = module.ADAPTERS[name](case)
    given = getattr(module, 'GIVEN', {}).get(name, ())  # inputs that are stored as outputs
    outputs = [k for k in case.arrays if k.startswith('out_')]
    expected = [k for k in outputs if not any(fnmatch(k, pattern) for pattern in given)]
    failures = [] if expected else ['the case has no out_* array']
    for key in expected:
        if key not in ours:
            failures.append(f'{key}: the adapter gives no such output')
            continue
        value = ours[key]
        if isinstance(value, Spread):  # the nearest of the equally good results
            low, high = value.value - value.spread, value.value + value.spread
            value = np.clip(case[key], low, high)
        failure = _compare(module.TOLERANCES, f'{name}/{key}', np.asarray(value), case[key])
        if failure:
            failures.append(f'{key}: {failure}')
    return failures


@contextmanager
def no_initialisation() -> Iterator[None]:
    """Networks are built without drawing weights, since those of the case take their place."""
    names = [name for name in vars(nn.init) if name.endswith(('uniform_', 'normal_'))]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(nn.init, name, lambda tensor, *_, **__: tensor))
        yield


def _module(method: str):
    return import_module(f'.adapters.{method}', __package__)


def _belongs(stem: str, name: str) -> bool:
    return stem == name or stem.startswith(f'{name}_')


def _compare(tolerances: dict[str, Compare], key: str, ours: np.ndarray, golden: np.ndarray) -> str:
    if ours.shape != golden.shape:
        return f'shape {ours.shape}, expected {golden.shape}'
    for pattern, compare in tolerances.items():
        if fnmatch(key, pattern):
            return compare(ours, golden)
    return f'no tolerance is given for {key}'
