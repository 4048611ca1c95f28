"""The training iteration, without a training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmengine.logging import MessageHub


@contextmanager
def training_iteration() -> Iterator[Callable[[int], None]]:
    """Make phases and schedules of a method believe in an iteration; afterwards it is 0 again.

    Example:
        >>> with training_iteration() as at:
        ...     at(2001)
        ...     losses = model.loss(inputs, samples)
    """
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 0)
    try:
        yield lambda iteration: hub.update_info('iter', iteration)
    finally:
        hub.update_info('iter', 0)
