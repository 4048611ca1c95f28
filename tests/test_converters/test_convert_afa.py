"""Official AFA checkpoints and SegFormer's ImageNet weights."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.afa import convert_afa, convert_mit
from mmwsss.models import StrictPretrained
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / 'tests/golden/afa'


def official(name: str, prefix: str = '') -> dict[str, torch.Tensor]:
    shapes = json.loads((MANIFESTS / f'manifest_{name}.json').read_text())
    torch.manual_seed(0)
    return {prefix + key: torch.randn(shape) for key, shape in shapes.items()}


def mit(name: str) -> dict[str, torch.Tensor]:
    encoder = official(name)
    weights = {k[8:]: v for k, v in encoder.items() if k.startswith('encoder.')}
    return dict(weights, **{'head.weight': torch.randn(4, 4), 'head.bias': torch.randn(4)})


def shipped():
    init_default_scope('mmseg')
    return MODELS.build(Config.fromfile(ROOT / 'configs/wsss/afa_voc.py').model)


def test_official_checkpoint_covers_the_model():
    source = official('mit_b1_21cls', 'module.')
    model = shipped()
    model.load_state_dict(convert_afa(source), strict=True)
    fuse = model.decode_head.fusion_conv.conv.weight
    theirs = source['module.decoder.linear_fuse.conv.weight']
    assert torch.equal(fuse[:, :256], theirs[:, 768:]) and torch.equal(
        fuse[:, 768:], theirs[:, :256]
    )
    level = source['module.decoder.linear_c2.proj.weight']
    assert torch.equal(model.decode_head.convs[1].weight[:, :, 0, 0], level)
    block = model.backbone.layers[3][1][1]
    query = source['module.encoder.block4.1.attn.q.weight']
    assert torch.equal(block.attn.attn.in_proj_weight[:512], query)
    assert torch.equal(block.norm2.bias, source['module.encoder.block4.1.norm2.bias'])


def test_imagenet_weights_start_the_shipped_encoder(tmp_path):
    path = tmp_path / 'mit_b1.pth'
    torch.save(convert_mit(mit('mit_b1_21cls')), path)
    model = shipped()
    StrictPretrained(str(path))(model.backbone)
    with pytest.raises(ValueError, match=r'docs/afa\.md'):
        torch.save(convert_mit(mit('mit_b0_21cls')), path)
        StrictPretrained(str(path), hint='docs/afa.md')(model.backbone)


def test_unknown_keys_are_refused():
    strange = ('encoder.block1.0.attn.qkv.weight', 'decoder.linear_c5x.proj.bias', 'ctc.weight')
    for key in strange:
        with pytest.raises(ValueError, match=f'of AFA: 1 of 1 keys are unknown: {key}'):
            convert_afa({key: torch.zeros(1)})
    known = official('mit_b0_21cls')
    with pytest.raises(ValueError, match=f'3 of {len(known) + 3} keys are unknown: {strange[0]}, '):
        convert_afa({**known, **dict.fromkeys(strange, torch.zeros(1))})


@pytest.mark.parametrize('there', ['q', 'kv'])
def test_queries_need_their_keys_and_values_and_the_reverse(there):
    missing = {'q': 'kv', 'kv': 'q'}[there]
    with pytest.raises(ValueError, match=rf'block1\.0\.attn\.{missing}\.weight is missing'):
        convert_mit({f'block1.0.attn.{there}.weight': torch.zeros(1, 1)})


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        ({'block1.0.attn.q.bias': [4], 'block1.0.attn.kv.bias': [4]}, r'kv\.bias and block1'),
        ({'block1.0.mlp.fc1.weight': [8, 2, 1, 1]}, r'layers\.0\.1\.0\.ffn.*is no matrix'),
        ({'decoder.linear_fuse.conv.weight': [8, 6, 1, 1]}, 'fusion_conv.*no four levels'),
    ],
)
def test_tensors_of_other_shapes_are_refused(shapes, message):
    state = {key: torch.zeros(shape) for key, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        (convert_afa if 'fusion' in message else convert_mit)(state)


@pytest.mark.parametrize('kind', ['afa', 'imagenet'])
def test_script(kind, tmp_path, run_script):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    weights = mit('mit_b0_21cls') if kind == 'imagenet' else official('mit_b0_21cls', 'module.')
    torch.save(weights, source)
    said = run_script('afa.py', source, target)
    written = torch.load(target, weights_only=True)
    expected = convert_mit(weights) if kind == 'imagenet' else convert_afa(weights)
    assert ('state_dict' in written) == (kind == 'afa')
    written = written.get('state_dict', written)
    assert set(written) == set(expected)
    assert all(torch.equal(written[k], v) for k, v in expected.items())
    what = 'weights of a backbone' if kind == 'imagenet' else 'a whole network'
    assert said == f'{target}: {len(expected)} tensors, {what}\n'
