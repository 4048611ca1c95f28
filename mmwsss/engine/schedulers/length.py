"""The length of a schedule, which is that of the training unless the config says otherwise."""

from collections.abc import Mapping
from typing import Any


def schedule_length(max_iters: int | None, arguments: Mapping[str, Any]) -> int:
    """``max_iters``, or else ``end`` of a scheduler's arguments, which mmengine's runner fills in.

    Raises:
        ValueError: Neither is given.
    """
    length = arguments.get('end') if max_iters is None else max_iters
    if length is None:
        raise ValueError('the schedule needs max_iters or end; the runner gives end by itself')
    return length
