"""Official MCTformer checkpoints and DeiT's ImageNet weights."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.mctformer import convert_deit, convert_mctformer
from mmwsss.models import DeiTPretrained, MultiClassTokenViT
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = dict(v1='mctformer-v1', v2='mctformer', plus='mctformer-plus')
SMALL = dict(embed_dims=16, num_layers=2, num_heads=2, patch_size=8)


def manifest(version):
    path = ROOT / f'tests/golden/mctformer/net_{version}_manifest.json'
    return json.loads(path.read_text())


def official(version, prefix=''):
    return {prefix + key: torch.zeros(shape) for key, shape in manifest(version).items()}


def shipped(version, classes=20):
    init_default_scope('mmseg')
    model = Config.fromfile(ROOT / f'configs/_base_/models/{CONFIGS[version]}.py').model
    model.backbone.num_classes = model.decode_head.num_classes = classes
    with torch.device('meta'):
        return MODELS.build(model)


@pytest.mark.parametrize('version', CONFIGS)
def test_official_checkpoints_cover_their_models(version):
    converted = convert_mctformer(official(version, 'module.'))
    own = shipped(version).state_dict()
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in own.items()}
    dropped = dict(v1={'head.weight', 'head.bias'}, v2=set(), plus={'pos_embed'})[version]
    assert len(converted) == len(manifest(version)) - len(dropped) - 2  # norm.weight, norm.bias
    assert ('decode_head.conv.weight' in converted) == (version != 'v1')


def test_checkpoints_of_another_version_do_not_load():
    states = {version: convert_mctformer(official(version)) for version in CONFIGS}
    for ours, model in ((version, shipped(version)) for version in CONFIGS):
        for theirs, state in states.items():
            if ours == theirs:
                model.load_state_dict(state, strict=True, assign=True)
            else:
                with pytest.raises(RuntimeError, match=r'(Missing|Unexpected) key|size mismatch'):
                    model.load_state_dict(state, strict=True, assign=True)


def test_checkpoints_of_other_classes_do_not_load():
    with pytest.raises(RuntimeError, match='size mismatch'):
        shipped('v2', 80).load_state_dict(convert_mctformer(official('v2')), strict=True)


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match=r'of MCTformer: 2 of \d+ keys are unknown: dist_token, b'):
        convert_mctformer({**official('v2'), 'dist_token': torch.ones(1), 'bn': torch.ones(1)})


def test_official_files_hold_the_arguments_of_their_training(tmp_path, run_script):
    content = dict(model=official('v2'), args=argparse.Namespace(lr=1e-4), epoch=59)
    torch.save(content, tmp_path / 'checkpoint.pth')
    said = run_script('convert.py', 'mctformer', tmp_path / 'checkpoint.pth', tmp_path / 'v2.pth')
    assert said == f'{tmp_path / "v2.pth"}: 150 tensors, a whole network\n'
    written = torch.load(tmp_path / 'v2.pth', weights_only=True)['state_dict']
    assert set(written) == set(shipped('v2').state_dict())


def deit(side=4, channels=16, layers=2, patch=8):
    """Weights of the names of timm's DeiT, all different."""
    torch.manual_seed(0)
    net = MultiClassTokenViT(1, side * patch, patch, channels, layers, 2)
    state = {k: torch.randn_like(v) for k, v in net.state_dict().items()}
    rest = {'norm.weight': 16, 'norm.bias': 16, 'head.weight': (10, 16), 'head.bias': 10}
    return {**state, **{key: torch.ones(shape) for key, shape in rest.items()}}


@pytest.mark.parametrize('positions', ['joint', 'split'])
@pytest.mark.parametrize('side', [4, 8])
def test_all_classes_start_alike(positions, side, tmp_path):
    source = deit()
    torch.save(dict(model=source), tmp_path / 'deit.pth')
    net = MultiClassTokenViT(3, img_size=8 * side, positions=positions, **SMALL)
    DeiTPretrained(str(tmp_path / 'deit.pth'))(net)
    state, table = net.state_dict(), source['pos_embed']
    if positions == 'joint':
        classes, patches = state['pos_embed'][:, :3], state['pos_embed'][:, 3:]
    else:
        classes, patches = state['pos_embed_cls'], state['pos_embed_pat']
    for c in range(3):
        assert torch.equal(state['cls_token'][0, c], source['cls_token'][0, 0])
        assert torch.equal(classes[0, c], table[0, 0])
    assert torch.equal(state['blocks.1.mlp.fc2.weight'], source['blocks.1.mlp.fc2.weight'])
    if side == 4:
        assert torch.equal(patches, table[:, 1:])
    elif positions == 'split':  # each position is copied to 2 x 2
        grid = patches.unflatten(1, (8, 8))
        assert all(
            torch.equal(grid[:, y::2, x::2].flatten(1, 2), table[:, 1:])
            for y in (0, 1)
            for x in (0, 1)
        )
    else:
        assert patches.shape == (1, 64, 16)


def test_what_is_no_deit_is_refused(tmp_path):
    distilled = {**deit(), 'dist_token': torch.ones(1, 1, 16)}
    with pytest.raises(ValueError, match=r"DeiT's ImageNet weights .*: 1 of .*: dist_token"):
        convert_deit(distilled, 3)
    with pytest.raises(ValueError, match='it has no cls_token'):
        convert_deit({'patch_embed.proj.bias': torch.ones(16)}, 3)
    with pytest.raises(ValueError, match='15 patch positions are no square grid'):
        convert_deit({**deit(), 'pos_embed': torch.ones(1, 16, 16)}, 3)
    torch.save(deit(layers=1), tmp_path / 'short.pth')
    with pytest.raises(ValueError, match=r'short\.pth is no initialisation of .*blocks\.1\.'):
        DeiTPretrained(str(tmp_path / 'short.pth'))(MultiClassTokenViT(3, 32, **SMALL))
    trained = dict(deit(), cls_token=torch.ones(1, 3, 16))
    torch.save(trained, tmp_path / 'mct.pth')
    with pytest.raises(ValueError, match=r'mct\.pth: .*no cls_token \(1, 1, D\).* See the page'):
        DeiTPretrained(str(tmp_path / 'mct.pth'), hint='See the page')(
            MultiClassTokenViT(3, 32, **SMALL)
        )
