"""Training that leaves out single steps whose loss is not finite."""

import logging
from typing import Any

from mmengine.dist import all_reduce
from mmengine.logging import MessageHub, print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor

from mmwsss.registry import OPTIM_WRAPPERS
from mmwsss.utils.arguments import COUNT, checked


@checked(patience=COUNT)
class _Skipping:
    """Stands before an ``OptimWrapper`` among the bases of a class."""

    def __init__(self, *args: Any, patience: int = 10, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience, self.skipped = patience, 0

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward pass and step, unless the loss is not finite.

        Raises:
            RuntimeError: It was not for ``patience`` times in a row.
        """
        strange = (~loss.detach().isfinite()).float()
        all_reduce(strange, 'sum')
        if not strange:
            self.skipped = 0
            super().update_params(loss, *args, **kwargs)
            return
        self.skipped += 1
        iteration = MessageHub.get_current_instance().get_info('iter', 0) + 1
        what = f'iteration {iteration}: the loss is {loss.item()}'
        if self.skipped >= self.patience:
            raise RuntimeError(
                f'{what}, and the {self.skipped - 1} before it were not finite either: training '
                'has diverged. Lower the learning rate, or look at the images of this batch.'
            )
        print_log(f'{what}; this step is skipped', 'current', logging.WARNING)


@OPTIM_WRAPPERS.register_module()
class SkippingOptimWrapper(_Skipping, OptimWrapper):
    """An ``OptimWrapper`` that skips steps whose loss is NaN or infinite, and says so.

    The official codes of PMM and ACR skip them silently. Here the iteration is logged, and a
    training in which nothing but such steps follow one another stops. If the loss of one process
    is not finite, all skip the step.

    Args:
        patience: So many in a row are an error.
        kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: ``patience`` is out of range.
    """


@OPTIM_WRAPPERS.register_module()
class SkippingAmpOptimWrapper(_Skipping, AmpOptimWrapper):
    """:class:`SkippingOptimWrapper` in half precision; what ``--amp`` makes of it.

    Steps whose gradients overflow by the scale of the loss are left to the scaler, which skips
    them and lowers the scale; they are not counted.

    Args:
        patience: So many losses in a row that are not finite are an error.
        kwargs: Arguments of :class:`mmengine.optim.AmpOptimWrapper`.

    Raises:
        ValueError: ``patience`` is out of range.
    """
