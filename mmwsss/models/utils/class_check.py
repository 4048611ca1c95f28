"""The classes that a checkpoint was trained for, against those it is used with."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log

from mmwsss.utils.checks import some


def check_classes(
    checkpoint: str | os.PathLike, meta: Mapping, classes: Sequence[str] | None, config: str = ''
) -> None:
    """Compare the classes of a checkpoint with those of the data set of a config.

    A checkpoint that says nothing of its classes, as what is converted from other code, gets a
    warning.

    Args:
        checkpoint: Its name, for messages.
        meta: What the checkpoint says of itself.
        classes: Of the data set, in their order; None: there is none, and nothing is compared.
        config: Name of the config, for messages.

    Raises:
        ValueError: They differ, if in nothing but the order; says how.
    """
    if classes is None:
        return
    given = meta.get('dataset_meta') or {}
    theirs = {key.lower(): value for key, value in given.items()}.get('classes')
    if theirs is None:
        print_log(
            f'{checkpoint} does not say for which classes it was trained: see that they are those '
            f'of the config, in this order: {some(classes, 10)}',
            'current',
            logging.WARNING,
        )
    elif list(theirs) != list(classes):
        raise ValueError(
            f'Checkpoint {checkpoint} was trained for other classes than those of the config '
            f"{config}: {_difference(list(theirs), list(classes))}. Give the data set's metainfo "
            'the classes of the checkpoint, in their order, or pass --cfg-options '
            'strict_load=False.'
        )


def _difference(theirs: list[str], ours: list[str]) -> str:
    missing = [name for name in theirs if name not in ours]
    added = [name for name in ours if name not in theirs]
    if not missing and not added:
        place = next(i for i, pair in enumerate(zip(theirs, ours, strict=True)) if len({*pair}) > 1)
        return (
            f'the order differs, class {place} is {theirs[place]!r} there and {ours[place]!r} here'
        )
    parts = [f'it has {some(missing)}'] if missing else []
    parts += [f'the config has {some(added)}'] if added else []
    return f'{", ".join(parts)} ({len(theirs)} and {len(ours)} classes)'
