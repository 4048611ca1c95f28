"""ResNet-38d and VGG-16d: what the golden cases of PSA do not show."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.models.backbones.resnet38d import PlainBlock, ResNet38d
from mmwsss.models.backbones.vgg16d import VGG16d
from mmwsss.models.utils.strict_pretrained import StrictPretrained
from mmwsss.registry import MODELS

GOLDEN = Path(__file__).parents[1] / 'golden/psa'


def tiny(**kwargs) -> ResNet38d:
    return ResNet38d(base_channels=2, **kwargs)


def frozen(network: torch.nn.Module) -> set[str]:
    return {name for name, p in network.named_parameters() if not p.requires_grad}


def test_taps_have_their_channels_and_odd_sizes_round_up():
    maps = tiny(out_indices=(3, 0, 2, 1)).eval()(torch.randn(1, 3, 65, 43))
    assert [tuple(m.shape[1:]) for m in maps] == [(128, 9, 6), (8, 17, 11), (32, 9, 6), (16, 9, 6)]


@pytest.mark.parametrize(
    ('network', 'case'), [(tiny(), 'resnet38'), (VGG16d(), 'vgg16')], ids=['resnet38', 'vgg16']
)
def test_frozen_parameters_are_those_of_the_official_code(network, case):
    groups = json.loads((GOLDEN / f'train_step_{case}_cls.groups.json').read_text())
    assert frozen(network) == set(groups['frozen'])


def test_frozen_stages():
    assert frozen(tiny(frozen_stages=-1, norm_frozen=False)) == set()
    assert frozen(tiny(frozen_stages=0, norm_frozen=False)) == {'conv1a.weight'}
    everything = {n for n, _ in tiny().named_parameters() if not n.startswith('bn7')}
    assert frozen(tiny(frozen_stages=6, norm_frozen=False)) == everything


def test_dilation_of_the_last_block():
    """How far a pixel of the last map sees: the two networks differ in b7 alone."""
    far, near = tiny().eval(), tiny(b7_dilation=2).eval()
    near.load_state_dict(far.state_dict())
    x = torch.randn(1, 32 * 2, 11, 11, requires_grad=True)
    for network, reach in ((far, 4), (near, 2)):
        (gradient,) = torch.autograd.grad(network.b7(x)[0][0, :, 5, 5].sum(), x)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()[:, 0]
        assert (rows.min(), rows.max()) == (5 - reach, 5 + reach)
        assert network.b6.conv_branch2b1.dilation == (4, 4)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_batch_norms_in_training(norm_eval):
    network = tiny(norm_eval=norm_eval, bn_momentum=0.5).train()
    before = network.bn7.running_mean.clone()
    network(torch.randn(2, 3, 32, 32))
    assert network.training
    assert torch.equal(before, network.bn7.running_mean) == norm_eval
    assert network.b6.dropout.training


def test_shortcut_without_convolution_is_the_input_before_its_activation():
    block = PlainBlock(4, 4, 4).eval()
    torch.nn.init.zeros_(block.conv_branch2b1.weight)
    x = torch.randn(1, 4, 5, 5)
    out, activated = block(x)
    torch.testing.assert_close(out, x)
    torch.testing.assert_close(activated, (x / (1 + 1e-5) ** 0.5).relu())


def test_shortcut_with_convolution_starts_from_the_activated_input():
    block = PlainBlock(4, 4, 8, stride=2).eval()
    torch.nn.init.zeros_(block.conv_branch2b1.weight)
    out, activated = block(torch.randn(1, 4, 5, 5))
    torch.testing.assert_close(out, block.conv_branch1(activated))


@pytest.mark.parametrize('kwargs', [dict(out_indices=(5,)), dict(frozen_stages=7)])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        tiny(**kwargs)


def test_vgg_body_of_deeplab_has_a_pool_in_place_of_fc6():
    network = VGG16d(fc6_dilation=None, out_indices=(1, 2)).eval()
    conv5, pooled = network(torch.randn(1, 3, 33, 41))
    assert not hasattr(network, 'fc6')
    assert pooled.shape == conv5.shape == (1, 512, 5, 6)
    torch.testing.assert_close(pooled, torch.nn.functional.max_pool2d(conv5, 3, 1, 1))


def test_initial_weights_must_cover_the_network(tmp_path):
    source, target = tiny(), tiny()
    state = {f'backbone.{k}': v for k, v in source.state_dict().items()}
    state = {k: v for k, v in state.items() if 'num_batches_tracked' not in k}  # as PyTorch 0.4
    state['fc8.weight'] = torch.zeros(3)
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=state), path)
    StrictPretrained(str(path), prefix='backbone.')(target)
    for key, value in target.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key])
    with pytest.raises(ValueError, match=r'conv1a\.weight.*run the converter'):
        StrictPretrained(str(path), hint='run the converter')(target)
    state['backbone.b7.conv_branch1.weight'] = torch.zeros(1)
    torch.save(state, path)
    with pytest.raises(ValueError, match=r'1 of its .*b7\.conv_branch1\.weight'):
        StrictPretrained(str(path), prefix='backbone.')(target)


def test_initial_weights_may_need_a_prefix(tmp_path):
    """Weights of timm for a wrapper of timm: the message shows both kinds of keys."""
    wrapper = nn.Module()
    wrapper.timm_model = nn.Conv2d(3, 4, 1)
    path = tmp_path / 'timm.pth'
    torch.save({'weight': torch.ones(4, 3, 1, 1), 'bias': torch.ones(4)}, path)
    with pytest.raises(ValueError, match=r'timm_model\.weight.* It holds weight, bias'):
        StrictPretrained(str(path))(wrapper)
    StrictPretrained(str(path), add_prefix='timm_model.')(wrapper)
    assert (wrapper.timm_model.weight == 1).all()


@pytest.mark.parametrize(
    ('backbone', 'channels'),
    [
        (dict(type='ResNet', depth=18, style='pytorch'), 512),
        (dict(type='mmwsss.ResNet38d', base_channels=2), 128),
    ],
    ids=['ResNet', 'ResNet38d'],
)
def test_initial_weights_survive_the_initialisation_of_a_whole_model(backbone, channels, tmp_path):
    path = str(tmp_path / 'weights.pth')
    init_default_scope('mmseg')
    source = MODELS.build(backbone)
    torch.save(source.state_dict(), path)
    model = MODELS.build(
        dict(
            type='mmwsss.CAMClassifier',
            backbone=dict(backbone, init_cfg=dict(type='mmwsss.StrictPretrained', checkpoint=path)),
            decode_head=dict(type='mmwsss.CAMHead', in_channels=channels, num_classes=2),
        )
    )
    model.init_weights()
    for key, value in source.state_dict().items():
        torch.testing.assert_close(model.backbone.state_dict()[key], value)
