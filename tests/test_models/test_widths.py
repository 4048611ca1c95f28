"""Widths of heads and backbones that do not fit are refused when a model is built."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.models.utils.widths import check_map_widths, check_width, map_channels
from mmwsss.registry import MODELS
from mmwsss.stages.launch import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
WEAKCLIP = 'segmentation/weakclip_mini-full.py'


class Levels(nn.Module):
    """Two maps, and a batch norm whose statistics must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 5, 3, 2), nn.BatchNorm2d(5), nn.Dropout())
        self.second = nn.Conv2d(5, 7, 3, 2)

    def forward(self, x):
        first = self.first(x)
        return first, self.second(first)


class Picky(nn.Module):
    """Looks at values, which are not there when only shapes are asked for."""

    def forward(self, x):
        return x if x.max().item() > 0 else -x


def test_channels_are_found_without_a_trace():
    levels = Levels()
    before = {key: value.clone() for key, value in levels.state_dict().items()}
    chain = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1)
    state = torch.get_rng_state()
    assert map_channels(levels) == [5, 7]
    assert map_channels(*chain) == [6]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(levels.state_dict()[key], value) for key, value in before.items())
    assert all(parameter.requires_grad for parameter in levels.parameters())


def test_what_cannot_be_found_is_not_compared():
    assert map_channels(Picky()) is None
    check_map_widths('head', 99, 7, None)


@pytest.mark.parametrize(
    'widths, index', [(7, -1), (7, 1), ([5, 7], [0, 1]), ((7,), [-1]), (12, (0, 1))]
)
def test_widths_that_fit(widths, index):
    check_map_widths('head', widths, index, [5, 7])


@pytest.mark.parametrize(
    'widths, index, message',
    [
        (5, -1, r'head\.in_channels is 5, .* head\.in_index=-1 of the backbone .* have 7 channels'),
        ([5, 5], [0, 1], r'have \[5, 7\] channels'),
        ([5], [0, 1], r'have \[5, 7\] channels'),
        (13, (0, 1), 'have 12 channels'),
        (5, 2, r'head\.in_index is 2, but the backbone gives 2 maps \(backbone\.out_indices\)'),
        ([7], [-3], 'gives 2 maps'),
    ],
)
def test_widths_that_do_not_fit(widths, index, message):
    with pytest.raises(ValueError, match=message):
        check_map_widths('head', widths, index, [5, 7])


def test_single_widths():
    check_width('a', 3, 'b', 3)
    with pytest.raises(ValueError, match=r'^a is 3, but b is 4: they must be equal$'):
        check_width('a', 3, 'b', 4)


@pytest.mark.parametrize(
    'config, key, value, other',
    [
        ('wsss/afa_mini.py', 'cam_head.in_channels', 8, r'cam_head\.in_index=-1 of the backbone'),
        ('wsss/afa_mini.py', 'decode_head.in_channels', [8, 8, 8, 8], 'of the backbone'),
        ('wsss/afa_mini.py', 'affinity_head.in_channels', 3, r'backbone\.num_attn_blocks'),
        ('wsss/psa_mini_cam.py', 'decode_head.in_channels', 8, 'of the backbone'),
        ('wsss/psa_mini_affinity.py', 'backbone.out_indices', [3], 'of the backbone'),
        ('wsss/one_stage_mini.py', 'decode_head.in_channels', [8, 8], 'of the backbone'),
        ('wsss/mctformer_mini_cam.py', 'decode_head.in_channels', 8, r'backbone\.embed_dims'),
        ('wsss/weclip_mini.py', 'decode_head.in_channels', 8, r'backbone\.checkpoint'),
        ('wsss/weclip_plus_mini.py', 'decode_head.in_channels', 8, r'backbone\.checkpoint'),
        ('wsss/weclip_plus_mini.py', 'decode_head.dino_channels', 8, r'dino\.checkpoint'),
        ('wsss/excel_mini.py', 'decode_head.in_channels', 8, r'backbone\.checkpoint'),
        (WEAKCLIP, 'adapter.channels', 8, r'tokens of backbone\.checkpoint'),
        (WEAKCLIP, 'prompts.width', 8, r'texts of backbone\.checkpoint'),
        (WEAKCLIP, 'co_attention.dim', 8, r'backbone\.checkpoint'),
        (WEAKCLIP, 'neck.in_channels', [8] * 4, r'adapter\.channels.* is \[139, 139'),
        (WEAKCLIP, 'decode_head.in_channels', [8] * 4, r'neck\.out_channels'),
        (
            'segmentation/deeplabv1_resnet38_mini.py',
            'decode_head.in_channels',
            8,
            'of the backbone',
        ),
    ],
)
def test_segmentors_compare_their_heads_with_their_backbone(config, key, value, other):
    init_default_scope('mmseg')
    cfg = load_config(CONFIGS / config, {f'model.{key}': value})
    key = 'decode_head.in_channels' if key.startswith('backbone') else key
    with pytest.raises(ValueError, match=rf'{key} is .*{other}'):
        MODELS.build(cfg.model)
