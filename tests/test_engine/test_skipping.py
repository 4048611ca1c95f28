"""Steps whose loss is not finite are left out, named, and no endless training."""

import logging
from functools import partial

import pytest
import torch
from mmengine.logging import MessageHub

from mmwsss.engine.optimizers import SkippingAmpOptimWrapper, SkippingOptimWrapper


@pytest.fixture(params=[SkippingOptimWrapper, SkippingAmpOptimWrapper])
def wrapper(request, monkeypatch):
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{module}.GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    weight = torch.nn.Parameter(torch.ones(1))
    MessageHub.get_instance('skipping').update_info('iter', 41)
    return request.param(optimizer=torch.optim.SGD([weight], lr=0.1)), weight


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


@pytest.mark.parametrize('wrapper', [SkippingAmpOptimWrapper], indirect=True)
def test_overflowing_gradients_are_left_to_the_scaler(wrapper):
    wrapper, weight = wrapper
    scale = wrapper.loss_scaler.get_scale()
    wrapper.update_params(weight.sum() * 1e38)  # finite, but not times the scale
    assert weight.item() == 1 and wrapper.skipped == 0
    assert wrapper.loss_scaler.get_scale() == scale / 2


def test_patience_is_checked():
    weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match='patience'):
        SkippingOptimWrapper(torch.optim.SGD([weight], lr=0.1), patience=0)
