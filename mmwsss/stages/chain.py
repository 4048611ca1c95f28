"""Pipelines that begin where another one ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..utils.checks import check_choice
from ..utils.text import read_config
from .folder_stages import BEST_OF
from .unroll import filled, unrolled

_KEYS = {'pipeline', 'until'}
_NAMING = ('background', 'power')  # keys whose value may be BEST_OF and a stage's name


def chained(config: Config, path: Path, seen: tuple[str, ...] = ()) -> Iterator[dict]:
    """The stages of a pipeline, behind those of the one that it comes after.

    Args:
        config: Of the pipeline. ``after`` is the name of another one in the same folder, or
            ``dict(pipeline=name, until=stage)`` for its stages up to that one. ``{pipeline}`` in a
            text becomes the name of the pipeline that it stands in, ``{mask_dir}`` its
            ``mask_dir``. Stages of the other one are called ``<pipeline>-<stage>``.
        path: Its file.
        seen: Pipelines on the way here.

    Raises:
        FileNotFoundError: There is no such pipeline.
        ValueError: It has no such stage, lies on other data, or comes after itself.
    """
    if config.get('after'):
        yield from _before(config, path, (*seen, path.stem))
    names = dict(pipeline=path.stem)
    if config.get('mask_dir'):
        names['mask_dir'] = config.mask_dir
    for spec in unrolled(config.get('stages') or ()):
        yield filled(dict(spec), **names)


def _before(config: Config, path: Path, seen: tuple[str, ...]) -> Iterator[dict]:
    after = config.after
    after = dict(pipeline=after) if isinstance(after, str) else dict(after)
    if not isinstance(after.get('pipeline'), str) or set(after) - _KEYS:
        raise ValueError(
            f'{path}: after must be the name of a pipeline, or dict(pipeline=name, until=stage), '
            f'got {config.after!r}'
        )
    name = after['pipeline']
    other = path.parent / f'{name}.py'
    if name in seen:
        raise ValueError(f'{path}: pipelines come after each other in a circle: {[*seen, name]}')
    if not other.is_file():
        raise FileNotFoundError(f'{path}: after={name!r}, but there is no {other}')
    earlier = read_config(other)
    if earlier.get('data_root') != config.get('data_root'):
        raise ValueError(
            f'{path}: after={name!r} lies on other data ({earlier.get("data_root")}, not '
            f'{config.get("data_root")})'
        )
    for spec in up_to(list(chained(earlier, other, seen)), after.get('until'), path):
        yield _renamed(spec, f'{name}-')


def up_to(specs: list[dict], until: str | None, path: Path) -> list[dict]:
    """The stages of a pipeline up to one of them; None: all.

    Raises:
        ValueError: It has no such stage.
    """
    if until is None:
        return specs
    names = [str(spec.get('name')) for spec in specs]
    check_choice(f'{path}: until', until, names)
    return specs[: names.index(until) + 1]


def _renamed(spec: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A stage, and the stages that it names, with ``prefix`` before their names."""
    for key in ('name', 'checkpoint'):
        if key in spec:
            spec = {**spec, key: f'{prefix}{spec[key]}'}
    for key in _NAMING:
        value = spec.get(key)
        if isinstance(value, str) and value.startswith(BEST_OF):
            spec[key] = BEST_OF + prefix + value.removeprefix(BEST_OF)
    return spec


def start_from(config: Config, path: Path, mask_dir: str) -> None:
    """Let a pipeline start from finished masks, in place of what it comes after.

    Raises:
        ValueError: It does not start from masks.
    """
    if 'mask_dir' not in config:
        raise ValueError(f'{path} does not start from masks (it has no mask_dir)')
    config.mask_dir = mask_dir
    config.after = None
