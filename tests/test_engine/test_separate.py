"""One optimizer for each network."""

import pytest
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.engine.optimizers import SeparateOptimWrapperConstructor

SGD = dict(optimizer=dict(type='SGD', lr=1.0, momentum=0.5, weight_decay=0.1))


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def two_networks() -> nn.Module:
    frozen = nn.Conv2d(3, 4, 1).requires_grad_(False)
    pair = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1))
    return nn.ModuleDict(dict(a=nn.Linear(2, 2), b=pair, frozen=frozen, nothing=nn.ReLU()))


def test_every_child_that_is_trained_has_its_own():
    model = two_networks()
    wrappers = SeparateOptimWrapperConstructor(SGD)(model)
    assert isinstance(wrappers, OptimWrapperDict) and sorted(wrappers.keys()) == ['a', 'b']
    for name, wrapper in wrappers.items():
        held = [p for group in wrapper.param_groups for p in group['params']]
        assert {id(p) for p in held} == {id(p) for p in model[name].parameters()}
        assert wrapper.param_groups[0]['momentum'] == 0.5


def test_settings_of_the_config_reach_all():
    paramwise = dict(custom_keys={'1': dict(lr_mult=3.0)}, bias_lr_mult=2.0, bias_decay_mult=0.0)
    wrappers = build_optim_wrapper(
        two_networks(),
        ConfigDict(
            dict(
                SGD,
                type='OptimWrapper',
                accumulative_counts=2,
                constructor='mmwsss.SeparateOptimWrapperConstructor',
                paramwise_cfg=paramwise,
            )
        ),
    )
    rates = {name: wrapper.get_lr()['lr'] for name, wrapper in wrappers.items()}
    assert rates == dict(a=[1.0, 2.0], b=[1.0, 2.0, 3.0, 3.0])
    decays = [group['weight_decay'] for group in wrappers['a'].optimizer.param_groups]
    assert decays == pytest.approx([0.1, 0.0])
    assert all(wrapper._accumulative_counts == 2 for wrapper in wrappers.values())


def test_a_model_without_trained_parameters_is_refused():
    with pytest.raises(ValueError, match='ModuleDict has no parameters to train'):
        SeparateOptimWrapperConstructor(SGD)(nn.ModuleDict(dict(a=nn.ReLU())))
