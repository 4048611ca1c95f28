import math

import pytest
import torch

from mmwsss.engine.schedulers import CosineWarmupLR
from mmwsss.ops.schedules import cosine_warmup_rate

BASES = (1e-4, 1e-3, 0.0)


def optimizer():
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in BASES]
    return torch.optim.SGD(groups, lr=1.0)


def rates(scheduler, count):
    """Rates that the next iterations use."""
    seen = []
    for _ in range(count):
        seen.append([group['lr'] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def timm_rate(epoch, rate, epochs, warmup, first, last):
    """The schedule of timm by epochs."""
    if epoch < warmup:
        return first + epoch * (rate - first) / warmup
    return last + 0.5 * (rate - last) * (1 + math.cos(math.pi * epoch / epochs))


def test_stepped_behind_each_epoch():
    """MCTformer: the first two epochs have the first rate, the others that of the one before."""
    epochs, per_epoch = 9, 4
    settings = dict(min_lr=1e-5, warmup_iters=3 * per_epoch, warmup_lr=1e-6)
    scheduler = CosineWarmupLR(
        optimizer(), epochs * per_epoch, **settings, interval=4, lag=4, by_epoch=False
    )
    expected = [
        [timm_rate(max(i // per_epoch - 1, 0), rate, epochs, 3, 1e-6, 1e-5) for rate in BASES]
        for i in range(epochs * per_epoch)
    ]
    seen = rates(scheduler, epochs * per_epoch)
    assert seen == [pytest.approx(row, rel=1e-12) for row in expected]
    assert seen[0] == seen[7] == [1e-6] * 3 != seen[8]


# rates that WeakCLIP's official schedule uses, of a normal group and of one of rate 0
OFFICIAL = {
    0: (1.000000e-10, 0.0),
    1: (6.676660e-08, 4.118500e-18),
    750: (4.982849e-05, 1.732888e-09),
    1499: (9.856837e-05, 1.378751e-08),
    1500: (9.863231e-05, 1.381504e-08),
    1501: (9.863049e-05, 1.383338e-08),
    5000: (8.550179e-05, 1.464466e-07),
    8000: (6.579634e-05, 3.454915e-07),
    15000: (1.549821e-05, 8.535534e-07),
    19999: (1.000001e-06, 1.000000e-06),
}


def test_official_rates_of_weakclip():
    settings = dict(min_rate=1e-6, warmup_iters=1500, warmup_ratio=1e-6)
    for step, expected in OFFICIAL.items():
        found = [cosine_warmup_rate(step, rate, 20000, **settings) for rate in (1e-4, 0.0)]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-22)


def test_closed_form_of_mmcv():
    total, warmup, ratio, last = 20, 6, 1e-6, 1e-6
    scheduler = CosineWarmupLR(
        optimizer(), end=total, min_lr=last, warmup_iters=warmup, warmup_ratio=ratio, by_epoch=False
    )
    for i, row in enumerate(rates(scheduler, total)):
        share = (1 + math.cos(math.pi * i / total)) / 2
        rise = 1 - (1 - min(i / warmup, 1)) * (1 - ratio)
        assert row == pytest.approx([rise * (last + share * (b - last)) for b in BASES], rel=1e-12)


@pytest.mark.parametrize('stop', [2, 5, 13])
def test_resumed_rates_are_the_same(stop):
    settings = dict(
        max_iters=20, min_lr=1e-5, warmup_iters=6, warmup_lr=1e-6, interval=3, lag=3, by_epoch=False
    )
    whole = rates(CosineWarmupLR(optimizer(), **settings), 20)
    first = CosineWarmupLR(optimizer(), **settings)
    rates(first, stop)
    second = CosineWarmupLR(optimizer(), **settings)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert rates(second, 20 - stop) == whole[stop:]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(max_iters=9, by_epoch=True), 'by_epoch=False'),
        (dict(), 'needs max_iters or end'),
        (dict(max_iters=9, warmup_iters=3), 'one of warmup_lr and warmup_ratio'),
        (dict(max_iters=9, warmup_lr=1e-6), 'needs warmup_iters'),
        (dict(max_iters=9, warmup_iters=3, warmup_lr=0, warmup_ratio=0), 'one of warmup_lr'),
        (dict(max_iters=9, interval=0), 'interval must be'),
        (dict(max_iters=9, lag=-1), 'lag must be'),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(ValueError, match=message):
        CosineWarmupLR(optimizer(), **{'by_epoch': False, **settings})
