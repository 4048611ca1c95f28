"""Official 1-Stage checkpoints in our names."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.one_stage import convert_one_stage
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/golden/one_stage'
RESNETS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
CONFIGS = {
    'resnet38_ae': 'one_stage_voc',
    'resnet50_ae': 'one_stage_voc_r50',
    'resnet50_bsl': 'one_stage_baseline_voc_r50',
}


def manifest(name: str) -> dict[str, list[int]]:
    return json.loads((GOLDEN / f'net_{name}.manifest.json').read_text())


def decoder(deep: int) -> dict[str, list[int]]:
    """The decoder's keys on a backbone with so many deep channels."""
    parts = ('aspp.', 'shallow_mask.', 'fc8_', 'last_conv.')
    keys = {k: list(v) for k, v in manifest('resnet50_ae').items() if k.startswith(parts)}
    for shape in keys.values():
        if len(shape) == 4 and shape[1] == 2048:
            shape[1] = deep
    return keys


def vgg16() -> dict[str, list[int]]:
    keys, channels = decoder(1024), 3
    for stage, (depth, width) in enumerate(VGG, 1):
        for i in range(1, depth + 1):
            keys[f'conv{stage}_{i}.weight'] = [width, channels, 3, 3]
            keys[f'conv{stage}_{i}.bias'] = [width]
            channels = width
    keys.update({'fc6.weight': [1024, 512, 3, 3], 'fc7.weight': [1024, 1024, 1, 1]})
    return {**keys, 'fc6.bias': [1024], 'fc7.bias': [1024]}


def resnet101() -> dict[str, list[int]]:
    keys = manifest('resnet50_ae')
    last = {k: v for k, v in keys.items() if k.startswith('layer3.5.')}
    for i in range(RESNETS[50][2], RESNETS[101][2]):
        keys.update({k.replace('layer3.5.', f'layer3.{i}.'): v for k, v in last.items()})
    return keys


def baseline(keys: dict[str, list[int]]) -> dict[str, list[int]]:
    """The keys of a whole network -> those of the CAM baseline on its backbone."""
    backbone = {k: v for k, v in keys.items() if k not in decoder(0)}
    deep = keys['aspp.aspp1.atrous_conv.weight'][1]
    return {**backbone, 'fc8.weight': [20, deep, 1, 1]}


@pytest.mark.parametrize(
    ('keys', 'config'),
    [
        *((manifest(name), config) for name, config in CONFIGS.items()),
        (resnet101(), 'one_stage_voc_r101'),
        (vgg16(), 'one_stage_voc_vgg16'),
        (baseline(manifest('resnet38_ae')), 'one_stage_baseline_voc'),
        (baseline(resnet101()), 'one_stage_baseline_voc_r101'),
        (baseline(vgg16()), 'one_stage_baseline_voc_vgg16'),
    ],
    ids=[*CONFIGS, 'resnet101_ae', 'vgg16_ae', 'resnet38_bsl', 'resnet101_bsl', 'vgg16_bsl'],
)
def test_every_tensor_of_the_shipped_models_is_found(keys, config):
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(ROOT / f'configs/wsss/{config}.py').model)
    converted = convert_one_stage({f'module.{key}': shape for key, shape in keys.items()})
    ours = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert converted == ours


def test_constants_and_aliases_are_left_out():
    names = ('_aff.aff_x.kernel', '_aff.aff_std.kernel', 'cls_branch.2.weight', 'mask_branch.0.a')
    assert convert_one_stage(dict.fromkeys((*names, 'fc8.weight'))) == {
        'decode_head.classifier.weight': None
    }


@pytest.mark.parametrize('key', ['fc8.bias', 'layer5.0.conv1.weight', 'head.weight', 'fc.weight'])
def test_unknown_key(key):
    with pytest.raises(ValueError, match=rf'of 1-Stage .*: 1 of 1 keys are unknown: {key}'):
        convert_one_stage({key: None})


def test_script(tmp_path, run_script):
    source, target = tmp_path / 'model_enc.pth', tmp_path / 'ours.pth'
    keys = ('conv1.weight', 'fc8_x.0.weight', '_aff.aff_x.kernel')
    torch.save(dict.fromkeys(keys, torch.ones(2)), source)
    assert '2 tensors' in run_script('one_stage.py', source, target)
    state = torch.load(target, weights_only=True)['state_dict']
    assert list(state) == ['backbone.conv1.weight', 'decode_head.merge.0.weight']
