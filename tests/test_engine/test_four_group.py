"""Parameter groups of PSA, SEAM, IRN and 1-Stage."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.engine.optimizers import FourGroupOptimWrapperConstructor

GOLDEN = Path(__file__).parents[1] / 'golden/one_stage'


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.decode_head = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.decode_head_2 = nn.Linear(4, 2)

    def forward(self, x):
        return self.decode_head_2(self.decode_head(self.backbone(x)).mean((2, 3))).sum()


def build(model, optimizer=None, **paramwise):
    init_default_scope('mmseg')
    cfg = dict(
        type='OptimWrapper',
        optimizer=optimizer or dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
        constructor=f'mmwsss.{FourGroupOptimWrapperConstructor.__name__}',
        paramwise_cfg=dict(dict(new='decode_head', lr_mults=(1, 2, 10, 20)), **paramwise),
    )
    return build_optim_wrapper(model, cfg)


def members(model, wrapper):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [[names[p] for p in group['params']] for group in wrapper.optimizer.param_groups]


def test_weights_and_biases_of_old_and_new_parts():
    model = Model()
    wrapper = build(model)
    assert members(model, wrapper) == [
        ['backbone.0.weight', 'backbone.1.weight', 'decode_head_2.weight'],
        ['backbone.0.bias', 'backbone.1.bias', 'decode_head_2.bias'],
        ['decode_head.0.weight', 'decode_head.1.weight'],
        ['decode_head.1.bias'],
    ]
    assert [g['lr'] for g in wrapper.optimizer.param_groups] == pytest.approx([0.1, 0.2, 1.0, 2.0])
    assert [g['weight_decay'] for g in wrapper.optimizer.param_groups] == [5e-4, 0, 5e-4, 0]


def test_several_new_parts():
    model = Model()
    groups = members(model, build(model, new=['decode_head', 'decode_head_2']))
    assert groups[2:] == [
        ['decode_head.0.weight', 'decode_head.1.weight', 'decode_head_2.weight'],
        ['decode_head.1.bias', 'decode_head_2.bias'],
    ]


def test_frozen_parameters_are_left_out_and_an_empty_group_trains():
    model = Model()
    for module in model.backbone:
        module.bias.requires_grad_(False)
    model.decode_head_2.bias.requires_grad_(False)
    wrapper = build(model)
    assert [len(g['params']) for g in wrapper.optimizer.param_groups] == [3, 0, 2, 1]
    before = model.decode_head[0].weight.detach().clone()
    wrapper.update_params(model(torch.rand(2, 3, 4, 4)))
    assert not torch.equal(before, model.decode_head[0].weight)
    wrapper.load_state_dict(wrapper.state_dict())


def test_a_wrapped_model_gives_the_same_groups():
    model = Model()
    wrapped = nn.Module()
    wrapped.module = model
    assert members(model, build(wrapped)) == members(model, build(model))


@pytest.mark.parametrize('name', ['resnet38_ae', 'resnet50_ae', 'resnet50_bsl'])
def test_official_groups_of_the_same_names(name):
    """A stand-in with the official names, the new ones below ``head``, has the official groups."""
    official = json.loads((GOLDEN / f'net_{name}.param_groups.json').read_text())
    model = nn.Module()
    for index, names in enumerate([*official['groups'], official['frozen']]):
        part = 'head' if index in (2, 3) else 'body'
        for key in names:
            _add(model, f'{part}.{key}', nn.Parameter(torch.zeros(1), index < 4))
    wrapper = build(model, new='head', lr_mults=official['lr_mult'])
    found = [[key.partition('.')[2] for key in group] for group in members(model, wrapper)]
    for ours, theirs in zip(found, official['groups'], strict=True):
        assert sorted(ours) == sorted(theirs)
    assert [g['weight_decay'] for g in wrapper.optimizer.param_groups] == official['weight_decay']


def _add(module, path, parameter):
    *parts, leaf = path.split('.')
    for part in parts:
        if not hasattr(module, part):
            module.add_module(part, nn.Module())
        module = getattr(module, part)
    module.register_parameter(leaf, parameter)


def test_errors():
    with pytest.raises(ValueError, match='no parameters in head; its parts are backbone'):
        build(Model(), new=['decode_head', 'head'])
    with pytest.raises(ValueError, match='four factors'):
        build(Model(), lr_mults=(1, 10))
    with pytest.raises(ValueError, match="'norm_decay_mult'"):
        build(Model(), norm_decay_mult=0)
    with pytest.raises(ValueError, match='weight_decay'):
        build(Model(), optimizer=dict(type='SGD', lr=0.1))
