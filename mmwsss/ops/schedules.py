"""Learning-rate factors of published schedules, as functions of the iteration."""


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
