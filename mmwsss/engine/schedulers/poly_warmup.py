"""Learning-rate schedule of AFA, ToCo and WeCLIP."""

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from torch.optim import Optimizer

from mmwsss.ops.schedules import poly_warmup_factor
from mmwsss.registry import PARAM_SCHEDULERS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, WEIGHT, WHOLE, checked

from .length import schedule_length


@PARAM_SCHEDULERS.register_module()
@checked(
    max_iters=COUNT,
    extra_iters=WHOLE,
    warmup_iters=WHOLE,
    warmup_ratio=SHARE,
    power=WEIGHT,
    min_lr=WEIGHT,
    by_epoch=FLAG,
)
class PolyWarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up, then polynomial decay that counts from iteration 0.

    See :func:`mmwsss.ops.schedules.poly_warmup_factor`. (mmengine's ``PolyLR`` with ``begin``
    starts its decay after the warm-up.)

    Args:
        max_iters: Iterations of the whole training; None: ``end``, which the runner sets to its
            own ``train_cfg.max_iters``.
        extra_iters: So many iterations more are counted as the length of the decay.
        warmup_iters: Iterations of the warm-up.
        warmup_ratio: First factor.
        power: Exponent of the decay.
        min_lr: What the rate decays to; the factor is that of its distance from it.
        by_epoch: Must be False; the runner reads it from the config.

    Raises:
        ValueError: ``by_epoch=True``, or neither ``max_iters`` nor ``end``.
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        max_iters: int | None = None,
        *args,
        extra_iters: int = 0,
        warmup_iters: int = 50,
        warmup_ratio: float = 1e-6,
        power: float = 1.0,
        min_lr: float = 0.0,
        by_epoch: bool = True,
        **kwargs,
    ) -> None:
        if by_epoch:
            raise ValueError('PolyWarmupLR counts iterations: write by_epoch=False in its config')
        self.max_iters = schedule_length(max_iters, kwargs) + extra_iters
        self.warmup_iters = warmup_iters
        self.warmup_ratio = warmup_ratio
        self.power, self.min_lr = power, min_lr
        super().__init__(optimizer, *args, by_epoch=by_epoch, **kwargs)

    def _get_value(self) -> list[float]:
        factor = poly_warmup_factor(
            self.last_step, self.max_iters, self.warmup_iters, self.warmup_ratio, self.power
        )
        return [self.min_lr + (base - self.min_lr) * factor for base in self.base_values]
