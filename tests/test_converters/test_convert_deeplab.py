"""Checkpoints of the DeepLab retraining codes in our names."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
NETWORKS = {
    'dlv1_rn38': 'deeplabv1_resnet38',
    'dlv2_r101': 'deeplabv2_r101',
    'largefov_vgg16_v1': 'deeplabv1_vgg16',
    'aspp_vgg16_v2': 'deeplabv2_vgg16',
    'largefov_r101_v1': 'deeplabv1_r101',
    'rn38_fov2': 'resnet38_fov2',
}


@pytest.mark.parametrize(('manifest', 'config'), NETWORKS.items())
def test_official_keys_are_ours(manifest, config):
    path = ROOT / f'tests/golden/deeplab_retrain/net_{manifest}.manifest.json'
    official = {k: torch.empty(s, device='meta') for k, s in json.loads(path.read_text()).items()}
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(ROOT / f'configs/_base_/models/{config}.py').model)
    converted = convert_deeplab({f'module.{k}': v for k, v in official.items()})
    ours = {k: v.shape for k, v in model.state_dict().items()}
    assert {k: v.shape for k, v in converted.items()} == ours


def test_initialisation_files_have_no_head():
    names = ['layer1.conv1.conv.weight', 'layer3.block2.increase.bn.bias', 'fc.weight', 'fc.bias']
    assert set(convert_deeplab({n: torch.zeros(1) for n in names})) == {
        'backbone.conv1.weight',
        'backbone.layer2.1.bn3.bias',
    }


@pytest.mark.parametrize(
    'keys', [['backbone.conv1a.weight', 'decoder.weight'], ['fc.weight'], ['cls_conv.bias']]
)
def test_other_checkpoints_are_refused(keys):
    with pytest.raises(ValueError, match='this is not a checkpoint of a known DeepLab code: '):
        convert_deeplab({k: torch.zeros(1) for k in keys})


def test_script(tmp_path, run_script):
    source, target = tmp_path / 'official.pth', tmp_path / 'ours.pth'
    torch.save({'conv1a.weight': torch.ones(2), 'fc8_seg_conv2.bias': torch.ones(3)}, source)
    assert run_script('deeplab.py', source, target) == f'{target}: 2 tensors, a whole network\n'
    state = torch.load(target, weights_only=True)['state_dict']
    assert list(state) == ['backbone.conv1a.weight', 'decode_head.conv2.bias']

    torch.save({'visual.proj': torch.ones(2)}, source)
    with pytest.raises(SystemExit, match=f'^error: {source}: this is not a checkpoint'):
        run_script('deeplab.py', source, target)
