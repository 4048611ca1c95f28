"""Learning-rate schedule of DeepLabV2 in PyTorch."""

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from torch.optim import Optimizer

from mmwsss.ops.schedules import stepwise_poly_factor
from mmwsss.registry import PARAM_SCHEDULERS
from mmwsss.utils.arguments import COUNT, FLAG, WEIGHT, checked

from .length import schedule_length


@PARAM_SCHEDULERS.register_module()
@checked(max_iters=COUNT, interval=COUNT, power=WEIGHT, by_epoch=FLAG)
class StepwisePolyLR(LRSchedulerMixin, _ParamScheduler):
    """Polynomial decay that is renewed every ``interval`` iterations.

    See :func:`mmwsss.ops.schedules.stepwise_poly_factor`. Iterations are those of the runner: with
    ``accumulative_counts=2`` an interval of 10 optimiser steps is ``interval=20``.

    Args:
        max_iters: Iteration at which the rate would be 0; None: ``end``, which the runner sets to
            its own ``train_cfg.max_iters``.
        interval: Iterations between two changes.
        power: Exponent of the decay.
        by_epoch: Must be False; the runner reads it from the config.

    Raises:
        ValueError: ``by_epoch=True``, an interval below 1, or neither ``max_iters`` nor ``end``.
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        max_iters: int | None = None,
        *args,
        interval: int = 10,
        power: float = 0.9,
        by_epoch: bool = True,
        **kwargs,
    ) -> None:
        if by_epoch:
            raise ValueError('StepwisePolyLR counts iterations: write by_epoch=False in its config')
        self.max_iters = schedule_length(max_iters, kwargs)
        self.interval = interval
        self.power = power
        super().__init__(optimizer, *args, by_epoch=by_epoch, **kwargs)

    def _get_value(self) -> list[float]:
        factor = stepwise_poly_factor(self.last_step, self.max_iters, self.interval, self.power)
        return [base * factor for base in self.base_values]
