"""Official checkpoints of PMM in our names: every key, and the rows of COCO's raw ids."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.pmm import (
    convert_pmm,
    convert_pmm_backbone,
    convert_pmm_classifier,
    read_classifier,
)
from mmwsss.models.backbones import Res2NetV1b, ScaleNet
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/golden/pmm'


def of_manifest(name: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((GOLDEN / f'{name}_manifest.json').read_text())
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


def shapes(state) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def built(config) -> torch.nn.Module:
    init_default_scope('mmseg')
    with torch.device('meta'):
        return MODELS.build(config)


@pytest.mark.parametrize('name', ['resnet38', 'scalenet101'])
def test_every_key_of_a_classifier_is_one_of_ours(name):
    model = built(Config.fromfile(ROOT / f'configs/_base_/models/seam_{name}.py').model)
    official = of_manifest(f'{name}_seam')
    assert shapes(convert_pmm_classifier(official)) == shapes(model.state_dict())
    with pytest.raises(ValueError, match=r"PMM's classifier: .*conv2\.weight"):
        convert_pmm_classifier({**official, 'conv2.weight': torch.empty(1)})


@pytest.mark.parametrize(
    ('name', 'manifest'),
    [
        ('resnet38', 'mmseg_wideres38'),
        ('res2net101', 'mmseg_res2net101'),
        ('scalenet101', 'mmseg_scalenet101'),
    ],
)
def test_every_key_of_a_segmentation_network_is_one_of_ours(name, manifest):
    model = built(Config.fromfile(ROOT / f'configs/segmentation/pspnet_{name}_voc.py').model)
    official = {f'backbone.{key}': value for key, value in of_manifest(manifest).items()}
    heads = {k: v for k, v in model.state_dict().items() if not k.startswith('backbone.')}
    assert sorted({key.split('.')[1] for key in heads}) == [
        'bottleneck',
        'conv_seg',
        'convs',
        'psp_modules',
    ]
    converted = convert_pmm({**official, **heads})
    assert shapes(converted) == shapes(model.state_dict())


@pytest.mark.parametrize(
    ('kind', 'manifest'), [(ScaleNet, 'mmseg_scalenet101'), (Res2NetV1b, 'mmseg_res2net101')]
)
def test_imagenet_weights_lose_their_classifier(kind, manifest):
    official = of_manifest(manifest)
    with torch.device('meta'):
        own = kind().state_dict()
    assert shapes(official) == shapes(own)
    fc = {'fc.weight': torch.empty(1000, 2048), 'fc.bias': torch.empty(1000)}
    assert shapes(convert_pmm_backbone({**official, **fc})) == shapes(own)


def test_raw_category_ids_become_81_classes():
    rows = torch.arange(91.0)
    state = {'decode_head.conv_seg.weight': rows[:, None], 'auxiliary_head.conv_seg.bias': rows}
    converted = convert_pmm(state)
    bias = converted['auxiliary_head.conv_seg.bias']
    assert len(bias) == 81 and bias[:13].tolist() == [*range(12), 13] and bias[-1] == 90
    assert torch.equal(converted['decode_head.conv_seg.weight'][:, 0], bias)
    fc8 = convert_pmm_classifier({'fc8.weight': rows[:, None]})['decode_head.fc8.weight']
    assert torch.equal(fc8[:, 0], bias)
    kept = convert_pmm({'decode_head.conv_seg.bias': rows[:21]})
    assert len(kept['decode_head.conv_seg.bias']) == 21
    with pytest.raises(ValueError, match='different numbers of classes'):
        convert_pmm({**state, 'decode_head.conv_seg.bias': rows[:21]})


def test_a_state_dict_may_lie_deeper_in_the_file(tmp_path):
    torch.save({'model': {'main': {'bn7.bias': torch.ones(2)}}}, tmp_path / 'nested.pth')
    torch.save({'bn7.bias': torch.ones(2)}, tmp_path / 'flat.pth')
    for name in ('nested', 'flat'):
        assert list(read_classifier(tmp_path / f'{name}.pth')) == ['bn7.bias']
