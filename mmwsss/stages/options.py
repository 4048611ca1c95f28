"""Values of the command line that change a config: what nothing would read is refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..utils.checks import some

# What mmengine's runner, mmseg's inferencers and this package read of a config.
# fmt: off
READ = frozenset((
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator',
    'test_evaluator', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler',
    'auto_scale_lr', 'default_hooks', 'custom_hooks', 'custom_imports', 'randomness', 'work_dir',
    'load_from', 'begun_from', 'resume', 'strict_load', 'accept_changes', 'launcher',
    'experiment_name', 'default_scope', 'env_cfg', 'log_processor', 'log_level', 'visualizer',
    'runner_type', 'compile', 'sync_bn', 'model_wrapper_cfg', 'find_unused_parameters',
    'tta_cfg', 'tta_model', 'tta_pipeline', 'test_pipeline',
))
# fmt: on


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Change values of a config, keys with dots (``{'train_cfg.max_iters': 10}``).

    The text of a config may have variables (``data_root``, ``train_pipeline``). They were copied
    to the keys that are read when the file was, so changing them now would change nothing.

    Raises:
        ValueError: A key is such a variable, or it is neither in the config nor ever read; names
            what to change instead.
    """
    for key in options:
        top, _, rest = key.partition('.')
        if top in READ:
            continue
        name = cfg.filename or 'the config'
        if top not in cfg:
            near = difflib.get_close_matches(top, READ, n=1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise ValueError(f'option {key}: {name} has no {top}, and nothing would read it{hint}')
        copies = list(_copies(top, cfg[top], cfg))
        if copies or isinstance(cfg[top], dict | list | tuple):
            keys = some((f'{copy}.{rest}' if rest else copy for copy in copies), 10)
            remedy = f'Change {keys}' if copies else 'No key that is read has its value'
            raise ValueError(
                f'option {key}: {top} is a variable of the text of {name}, changing it now would '
                f'change nothing. {remedy}.'
            )
    try:
        cfg.merge_from_dict(dict(options))
    except (AssertionError, IndexError, KeyError, TypeError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise ValueError(
            f'options {some(options)} do not fit into {cfg.filename or "the config"}: {reason}'
        ) from error


def _copies(name: str, value: Any, cfg: Config) -> Iterator[str]:
    """Keys that are read and have the value of a variable, and its name if that is a number."""
    for key, other in walk({top: cfg[top] for top in cfg if top in READ}):
        telling = isinstance(value, dict | list | tuple | str) or key.rpartition('.')[2] == name
        if telling and type(other) is type(value) and other == value:
            yield key


def walk(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """All keys with dots of a nest of dictionaries and lists, with their values."""
    if key:
        yield key, value
    if isinstance(value, Mapping):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in items:
        yield from walk(item, f'{key}.{name}' if key else str(name))
