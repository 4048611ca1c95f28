"""What is wrong with the inputs, counted before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ...datasets.activation_source import ActivationSource, Maps, fit_maps
from ...datasets.saliency_source import GREY_MODES, ConstantSaliency, SaliencySource
from ...utils.checks import some
from ...utils.images import picture_size
from ...utils.io import read_mask, write_json
from ...utils.parallel import map_parallel
from ...utils.provenance import as_json, digest_json, digest_stamps
from ...utils.text import read_object
from .settings import is_mask

FATAL = ('missing', 'unreadable', 'other size')
UNLABELLED = 'with maps of classes not in the labels'
INVERTED_MEAN = 0.6
_SAMPLE = 200


@dataclass
class Findings:
    """Image ids by what is wrong with the files of one input.

    Attributes:
        name: Of the input.
        found: ``{kind of fault: [image ids]}``.
        details: An example of each kind.
    """

    name: str
    found: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, key: str, detail: str = '') -> None:
        """Note a fault of an image."""
        self.found.setdefault(kind, []).append(key)
        self.details.setdefault(kind, detail)

    def lines(self, total: int) -> list[str]:
        """A line for every kind, with its count."""
        return [
            f'{self.name}: {len(keys)} of {total} images {kind} ({some(keys)})'
            + (f': {self.details[kind]}' if self.details[kind] else '')
            for kind, keys in self.found.items()
        ]

    def fatal(self) -> set[str]:
        """Images that cannot be judged."""
        return {key for kind in FATAL for key in self.found.get(kind, ())}


def check_source(
    name: str,
    source: ActivationSource,
    truths: dict[str, Path],
    resize: bool,
    processes: int | None,
    cache: Path,
) -> Findings:
    """Look at every map of a source.

    Args:
        name: For messages.
        source: The maps.
        truths: Files whose size the maps should have, by image id.
        resize: Whether other sizes are resized.
        processes: How many.
        cache: File that keeps the result while no file changes.
    """
    task = partial(_look_at_maps, source, resize)
    faults = _cached(name, source, truths, task, resize, processes, cache)
    for key in truths:
        if extra := source.extra(key):
            faults.add(UNLABELLED, key, f'{extra} left out')
    return faults


def check_saliency(
    name: str,
    source: SaliencySource | ConstantSaliency,
    truths: dict[str, Path],
    resize: bool,
    processes: int | None,
    cache: Path,
) -> Findings:
    """Look at every map of a saliency source; arguments as of :func:`check_source`."""
    if isinstance(source, ConstantSaliency):
        return Findings(name)
    task = partial(_look_at_saliency, source, resize)
    return _cached(name, source, truths, task, resize, processes, cache)


def check_inversion(
    name: str, saliency: SaliencySource, source: ActivationSource, keys: Sequence[str]
) -> str:
    """Whether maps of a class find less saliency inside than outside, in most images; a message.

    Args:
        name: Of the saliency.
        saliency, source: Both have all of the images ``keys``, of which some are looked at.
    """
    keys = [keys[i] for i in np.linspace(0, len(keys) - 1, min(_SAMPLE, len(keys))).astype(int)]
    against, judged = 0, 0
    for key in keys:
        values = np.float32(saliency.read(key))
        maps = source.read(key)
        if not len(maps.classes):
            continue
        best = fit_maps(maps, values.shape, key, True, as_bytes=False).float().amax(0).numpy()
        inside = best >= 0.5 * best.max()
        if best.max() > 0 and not inside.all():
            judged += 1
            against += values[inside].mean() < values[~inside].mean()
    if against <= judged / 2:
        return ''
    return (
        f'{name}: probably inverted: in {against} of {judged} images less is salient where the '
        'maps are high than elsewhere; 255 must be salient'
    )


def _cached(name, source, truths, task, resize, processes, cache) -> Findings:
    faults = Findings(name)
    for key in truths:
        missing = source.missing(key)
        if missing:
            faults.add('missing', key, f'no {missing[0]}')
    there = [key for key in truths if key not in set(faults.fatal())]
    labels = getattr(source, 'labels', None)
    digest = as_json(
        dict(
            files=digest_stamps(path for key in there for path in source.files(key)),
            truths=digest_stamps(truths[key] for key in there),
            resize=resize,
            kind=type(source).__name__,
            labels=digest_json(labels),
            num_foreground=getattr(source, 'num_foreground', None),
        )
    )
    results = _earlier(cache, digest, len(there))
    if results is None:
        results = map_parallel(task, [(key, truths[key]) for key in there], processes, chunk=16)
        write_json(cache, dict(digest=digest, results=results))
    for key, found in zip(there, results, strict=True):
        for kind, detail in found:
            faults.add(kind, key, detail)
    return faults


def _earlier(cache: Path, digest: dict, count: int) -> list | None:
    """What was found in the same files; None if the cache is of others, or damaged."""
    try:
        content = read_object(cache)
    except (FileNotFoundError, ValueError):
        return None
    results = content.get('results')
    same = content.get('digest') == digest and isinstance(results, list)
    return results if same and len(results) == count else None


def _look_at_maps(
    source: ActivationSource, resize: bool, task: tuple[str, Path]
) -> list[tuple[str, str]]:
    key, truth = task
    try:
        size = read_mask(truth, 1 + source.num_foreground).shape
        if is_mask(source):
            shape = tuple(source.read_mask(key).shape)
            return [] if shape == size else [('other size', _sizes(shape, size))]
        maps = source.read(key)
    except (OSError, ValueError) as error:
        return [('unreadable', str(error))]
    return _faults_of_maps(maps, size, resize)


def _faults_of_maps(maps: Maps, size: tuple[int, int], resize: bool) -> list[tuple[str, str]]:
    faults = []
    shape = maps.values.shape[1:] if len(maps.values) else size
    if maps.size not in (None, size):
        faults.append(('resized' if resize else 'other size', _sizes(maps.size, size)))
    elif _turned(shape, size) and not resize:
        faults.append(('other size', _sizes(shape, size)))
    elif shape != size:
        faults.append(('resized', _sizes(shape, size)))
    if maps.unlabelled:
        faults.append((UNLABELLED, f'{maps.unlabelled} left out'))
    if maps.unmapped:
        faults.append(('without a map of a class in the labels', f'{maps.unmapped}'))
    if len(maps.values) and not maps.values.any():
        faults.append(('with maps of zeros only', ''))
    return faults


def _turned(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Upright maps of a lying image."""
    lying = [(width > 1.1 * height) - (height > 1.1 * width) for height, width in (shape, size)]
    return lying[0] * lying[1] < 0


def _look_at_saliency(
    source: SaliencySource, resize: bool, task: tuple[str, Path]
) -> list[tuple[str, str]]:
    key, truth = task
    try:
        size = picture_size(truth)
        values, mode = source.read(key), source.mode(key)
    except (OSError, ValueError) as error:
        return [('unreadable', str(error))]
    faults, top = [], 255 if values.dtype == np.uint8 else 1
    if values.shape != size:
        faults.append(('resized' if resize else 'other size', _sizes(values.shape, size)))
    if mode not in GREY_MODES:
        faults.append((f'in colour (mode {mode})', 'the luminance is taken'))
    if values.min() == values.max():
        faults.append(('constant', f'{values.min()} everywhere'))
    elif top == 255 and values.max() == 1:
        faults.append(('with values 0 and 1 only', 'salient is 255; nothing exceeds a threshold'))
    elif values.mean() > INVERTED_MEAN * top:
        share = 100 * float(values.mean()) / top
        faults.append(('perhaps inverted', f'mean {share:.0f} %; 255 must be salient'))
    return faults


def _sizes(got: tuple[int, int], size: tuple[int, int]) -> str:
    return f'{got[0]} x {got[1]} (height x width) for an image of {size[0]} x {size[1]}'
