"""Learning rates and their factors of published schedules, as functions of the iteration."""

import math


def poly_warmup_factor(
    step: int, max_iters: int, warmup_iters: int = 50, warmup_ratio: float = 1e-6, power: float = 1
) -> float:
    """Learning-rate factor of AFA, ToCo and WeCLIP: linear warm-up, then polynomial decay.

    The decay counts from step 0, not from the end of the warm-up:
    ``1 - (1 - t / warmup)(1 - ratio)`` for t < warmup, then ``(1 - t / max_iters) ** power``.
    """
    if step < warmup_iters:
        return 1 - (1 - step / warmup_iters) * (1 - warmup_ratio)
    return max(0.0, 1 - step / max_iters) ** power


def stepwise_poly_factor(
    step: int, max_iters: int, interval: int = 10, power: float = 0.9
) -> float:
    """Polynomial decay that changes only every ``interval`` iterations (DeepLabV2 in PyTorch).

    ``(1 - interval * floor(step / interval) / max_iters) ** power``.
    """
    return max(0.0, 1 - step // interval * interval / max_iters) ** power


def cosine_warmup_rate(
    step: int,
    rate: float,
    max_iters: int,
    min_rate: float = 0.0,
    warmup_iters: int = 0,
    warmup_rate: float | None = None,
    warmup_ratio: float | None = None,
    interval: int = 1,
    lag: int = 0,
) -> float:
    """Half a cosine from ``rate`` to ``min_rate`` with a warm-up, in closed form.

    With ``t = max(0, interval * floor(step / interval) - lag)`` and N = ``max_iters``, after the
    warm-up ``min_rate + (rate - min_rate) (1 + cos(pi t / N)) / 2``, and ``min_rate`` from N on.
    The cosine counts from 0, not from the end of the warm-up. During the warm-up (t < w)

    - with ``warmup_rate`` r the line ``r + (rate - r) t / w`` in its place (timm);
    - with ``warmup_ratio`` r the cosine times ``1 - (1 - t / w) (1 - r)`` (mmcv).

    MCTformer steps timm's schedule behind each epoch: with e iterations an epoch
    ``interval=lag=e``, so that the first two epochs have one rate. WeakCLIP has mmcv's.

    Args:
        step: Iteration, from 0.
        rate: Base learning rate; 0 also ends at ``min_rate``, as in mmcv.
        max_iters: N.
        min_rate: Last learning rate.
        warmup_iters: w.
        warmup_rate, warmup_ratio: One of them, if there is a warm-up.
        interval: Iterations between two changes.
        lag: Iterations by which the curve is late.
    """
    t = max(0, step // interval * interval - lag)
    if t < warmup_iters and warmup_rate is not None:
        return warmup_rate + (rate - warmup_rate) * t / warmup_iters
    cosine = (1 + math.cos(math.pi * min(t / max_iters, 1))) / 2
    value = min_rate + (rate - min_rate) * cosine
    if t < warmup_iters:
        value *= 1 - (1 - t / warmup_iters) * (1 - warmup_ratio)
    return value
