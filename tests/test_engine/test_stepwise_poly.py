import pytest
import torch

from mmwsss.engine.schedulers.stepwise_poly import StepwisePolyLR


def rates(**kwargs):
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [dict(params=[p], lr=r) for p, r in zip(parameters, (0.1, 2.0), strict=True)], lr=1.0
    )
    scheduler = StepwisePolyLR(optimizer, by_epoch=False, **kwargs)
    seen = []
    for _ in range(14):
        seen.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def test_the_rate_changes_every_interval():
    seen = rates(max_iters=12, interval=4, power=2.0)
    factors = [1.0] * 4 + [(8 / 12) ** 2] * 4 + [(4 / 12) ** 2] * 4 + [0.0] * 2
    assert seen == [[pytest.approx(0.1 * f), pytest.approx(2 * f)] for f in factors]


def test_mistakes():
    with pytest.raises(ValueError, match='interval'):
        rates(max_iters=12, interval=0)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with pytest.raises(ValueError, match='by_epoch=False'):
        StepwisePolyLR(optimizer, max_iters=4)
