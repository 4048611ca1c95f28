"""Frozen layers and batch norms stay as they were, in any backbone and through validation."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmwsss.engine.hooks import FreezeBackbone


@pytest.fixture
def runner():
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model = nn.Module()
    model.backbone = nn.Sequential()
    model.backbone.add_module('stem', stem)
    model.backbone.add_module('late', nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    model.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))
    return SimpleNamespace(model=model)


def train(runner, hook, iterations=2):
    model = runner.model
    hook.before_run(runner)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for index in range(iterations):
        model.train()  # as validation does when it ends
        hook.before_train_iter(runner, index)
        loss = model.head(model.backbone(torch.rand(2, 3, 5, 5))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def changed(runner, before):
    return {k for k, v in runner.model.state_dict().items() if not torch.equal(v, before[k])}


def test_frozen_parts_keep_weights_and_statistics(runner):
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    train(runner, FreezeBackbone(frozen=['stem']))
    moved = changed(runner, before)
    assert not any(key.startswith('backbone.stem') for key in moved)
    assert {'backbone.late.0.weight', 'backbone.late.1.running_mean', 'head.0.weight'} <= moved


def test_norm_eval_holds_all_statistics_of_the_backbone(runner):
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    train(runner, FreezeBackbone(norm_eval=True))
    moved = changed(runner, before)
    assert not any('backbone' in key and 'running' in key for key in moved)
    assert {'backbone.stem.0.weight', 'backbone.late.1.weight', 'head.1.running_mean'} <= moved


@pytest.mark.parametrize(
    ('hook', 'message'),
    [
        (FreezeBackbone(frozen=['layer1']), "no module 'layer1'; it has stem, stem.0"),
        (FreezeBackbone(module='net', norm_eval=True), "no module 'net'; it has backbone"),
    ],
)
def test_unknown_modules_are_named(runner, hook, message):
    with pytest.raises(ValueError, match=message):
        train(runner, hook)
