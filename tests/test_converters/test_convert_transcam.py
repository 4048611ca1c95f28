"""Official checkpoints of TransCAM and AVC, and Conformer's ImageNet weights."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.mctformer import convert_mctformer
from mmwsss.converters.transcam import convert_transcam
from mmwsss.models import Conformer, StrictPretrained
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
HEADS = 'conv_cls_head', 'trans_cls_head'


def official(outputs=21, prefix=''):
    """All keys of the official state dict, with classifiers of some outputs."""
    manifest = json.loads((ROOT / 'tests/golden/avc/transcam_net_manifest.json').read_text())
    for key in manifest:
        if key.startswith(HEADS):
            manifest[key][0] = outputs
    return {prefix + key: torch.zeros(shape) for key, shape in manifest.items()}


def shipped(name='transcam', **head):
    init_default_scope('mmseg')
    model = Config.fromfile(ROOT / f'configs/_base_/models/{name}.py').model
    model.decode_head.update(head)
    with torch.device('meta'):
        return MODELS.build(model)


@pytest.mark.parametrize('name', ['transcam', 'avc'])
def test_official_checkpoints_cover_their_models(name):
    converted = convert_transcam(official(prefix='module.'))
    own = shipped(name).state_dict()
    assert len(converted) == 718
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in own.items()}


def test_classifiers_without_background_load_where_the_config_says_so():
    converted = convert_transcam(official(20))
    shipped(background_channel=False).load_state_dict(converted, strict=True, assign=True)
    with pytest.raises(RuntimeError, match=r'size mismatch for decode_head\.conv\.weight'):
        shipped().load_state_dict(converted, strict=True, assign=True)


def test_checkpoints_of_another_method_or_other_classes_are_refused():
    with pytest.raises(ValueError, match=r'of TransCAM or AVC: 2 of 2 keys are unknown: blocks\.0'):
        convert_transcam({'blocks.0.norm1.bias': torch.ones(1), 'head.bias': torch.ones(1)})
    with pytest.raises(ValueError, match='of MCTformer'):
        convert_mctformer(official())
    with pytest.raises(RuntimeError, match='size mismatch'):
        shipped(num_classes=80).load_state_dict(convert_transcam(official()), strict=True)
    gone = {k: v for k, v in official().items() if not k.startswith('conv_trans_12.')}
    with pytest.raises(RuntimeError, match='Missing key'):
        shipped().load_state_dict(convert_transcam(gone), strict=True)


def imagenet(channels=16):
    """Conformer's file: the backbone, and linear classifiers of 1000 classes."""
    torch.manual_seed(0)
    state = {k: torch.randn_like(v.float()) for k, v in small(channels).state_dict().items()}
    heads = {
        'conv_cls_head.weight': (1000, 4 * channels),
        'conv_cls_head.bias': (1000,),
        'trans_cls_head.weight': (1000, 16),
        'trans_cls_head.bias': (1000,),
    }
    return {**state, **{key: torch.ones(shape) for key, shape in heads.items()}}


def small(channels=16):
    return Conformer(channels // 2, 2, embed_dims=16, depth=3, num_heads=2)


def test_imagenet_weights_are_read_as_they_are(tmp_path):
    torch.save(dict(model=imagenet(), epoch=1), tmp_path / 'Conformer.pth')
    net = small()
    StrictPretrained(str(tmp_path / 'Conformer.pth'))(net)
    state = imagenet()
    assert torch.equal(net.conv_trans_3.fusion_block.residual_conv.weight,
                       state['conv_trans_3.fusion_block.residual_conv.weight'])  # fmt: skip
    assert torch.equal(net.trans_norm.bias, state['trans_norm.bias'])


def test_imagenet_weights_of_another_size_are_refused(tmp_path):
    torch.save(imagenet(32), tmp_path / 'base.pth')
    with pytest.raises(ValueError, match=r'base\.pth is no initialisation of Conformer.* See here'):
        StrictPretrained(str(tmp_path / 'base.pth'), hint='See here')(small())


def test_the_command_line(tmp_path, run_script):
    torch.save(official(), tmp_path / 'TransCAM.pth')
    said = run_script('convert.py', 'transcam', tmp_path / 'TransCAM.pth', tmp_path / 'ours.pth')
    assert said == f'{tmp_path / "ours.pth"}: 718 tensors, a whole network\n'
