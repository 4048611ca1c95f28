"""Steps whose loss is not finite are left out, named, and no endless training."""

import logging

import pytest
import torch
from mmengine.logging import MessageHub

from mmwsss.engine.optimizers import SkippingOptimWrapper


@pytest.fixture
def wrapper():
    weight = torch.nn.Parameter(torch.ones(1))
    MessageHub.get_instance('skipping').update_info('iter', 41)
    return SkippingOptimWrapper(torch.optim.SGD([weight], lr=0.1)), weight


def test_a_step_with_nan_changes_nothing_and_is_logged(wrapper, monkeypatch):
    from mmwsss.engine.optimizers import skipping

    wrapper, weight = wrapper
    lines = []
    monkeypatch.setattr(skipping, 'print_log', lambda *args: lines.append(args))
    wrapper.update_params(weight.sum() * torch.nan)
    assert weight.item() == 1 and weight.grad is None
    assert lines == [
        ('iteration 42: the loss is nan; this step is skipped', 'current', logging.WARNING)
    ]
    wrapper.update_params(weight.sum())
    assert weight.item() == pytest.approx(0.9) and len(lines) == 1


def test_ten_in_a_row_are_an_error_nine_are_not(wrapper):
    wrapper, weight = wrapper
    for _ in range(2):
        for _ in range(9):
            wrapper.update_params(weight.sum() / 0)
        wrapper.update_params(weight.sum())
    for _ in range(9):
        wrapper.update_params(weight.sum() / 0)
    with pytest.raises(RuntimeError, match=r'iteration 42: the loss is inf, and the 9 before it'):
        wrapper.update_params(weight.sum() / 0)


def test_patience_is_checked():
    weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match='patience'):
        SkippingOptimWrapper(torch.optim.SGD([weight], lr=0.1), patience=0)
