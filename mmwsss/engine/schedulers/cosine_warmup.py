"""Cosine learning-rate schedules of MCTformer and WeakCLIP."""

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from torch.optim import Optimizer

from mmwsss.ops.schedules import cosine_warmup_rate
from mmwsss.registry import PARAM_SCHEDULERS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, WEIGHT, WHOLE, checked

from .length import schedule_length


@PARAM_SCHEDULERS.register_module()
@checked(
    max_iters=COUNT,
    min_lr=WEIGHT,
    warmup_iters=WHOLE,
    warmup_lr=WEIGHT,
    warmup_ratio=SHARE,
    interval=COUNT,
    lag=WHOLE,
    by_epoch=FLAG,
)
class CosineWarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Half a cosine with a warm-up, in closed form, so that it is the same after resuming.

    See :func:`mmwsss.ops.schedules.cosine_warmup_rate`. (A chain of mmengine's ``LinearLR`` and
    ``CosineAnnealingLR`` multiplies rates from step to step: it deviates by some 1e-3, and cannot
    lag.) Parameters that must not move need ``requires_grad=False``: a group of rate 0
    (``lr_mult=0``) rises to ``min_lr``, as in mmcv and mmengine.

    Args:
        max_iters: Iterations of the whole training; None: ``end``, which the runner sets to its
            own ``train_cfg.max_iters``.
        min_lr: Last rate.
        warmup_iters: Iterations of the warm-up.
        warmup_lr: Its first rate, from which it is a line (timm); or
        warmup_ratio: The first factor on the cosine, which rises to 1 (mmcv).
        interval: Iterations between two changes, those of an epoch for timm's schedule.
        lag: Iterations by which the curve is late (MCTformer: those of an epoch).
        by_epoch: Must be False; the runner reads it from the config.

    Raises:
        ValueError: ``by_epoch=True``, neither ``max_iters`` nor ``end``, values out of range, or a
            warm-up without exactly one of ``warmup_lr`` and ``warmup_ratio``.

    Example (MCTformer V2 on VOC, 165 iterations an epoch)::

        param_scheduler = [
            dict(
                type='mmwsss.CosineWarmupLR',
                min_lr=1e-5,
                warmup_iters=5 * 165,
                warmup_lr=1e-6,
                interval=165,
                lag=165,
                by_epoch=False,
            )
        ]
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        max_iters: int | None = None,
        *args,
        min_lr: float = 0.0,
        warmup_iters: int = 0,
        warmup_lr: float | None = None,
        warmup_ratio: float | None = None,
        interval: int = 1,
        lag: int = 0,
        by_epoch: bool = True,
        **kwargs,
    ) -> None:
        if by_epoch:
            raise ValueError('CosineWarmupLR counts iterations: write by_epoch=False in its config')
        given = (warmup_lr is not None) + (warmup_ratio is not None)
        if given != (warmup_iters > 0):
            raise ValueError(
                'a warm-up needs warmup_iters and one of warmup_lr and warmup_ratio, got '
                f'warmup_iters={warmup_iters}, warmup_lr={warmup_lr}, warmup_ratio={warmup_ratio}'
            )
        self.curve = dict(
            max_iters=schedule_length(max_iters, kwargs),
            min_rate=min_lr,
            warmup_iters=warmup_iters,
            warmup_rate=warmup_lr,
            warmup_ratio=warmup_ratio,
            interval=interval,
            lag=lag,
        )
        super().__init__(optimizer, *args, by_epoch=by_epoch, **kwargs)

    def _get_value(self) -> list[float]:
        return [cosine_warmup_rate(self.last_step, base, **self.curve) for base in self.base_values]
