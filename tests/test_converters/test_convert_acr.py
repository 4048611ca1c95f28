"""Official ACR checkpoints, as PyTorch Lightning writes them."""

import argparse
import builtins
import json
import sys
import types
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.acr import convert_acr, read_acr
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
CALLBACK = 'pytorch_lightning.callbacks.model_checkpoint'


def manifest():
    return json.loads((ROOT / 'tests/golden/acr/net_manifest.json').read_text())


def official(*networks):
    shapes = manifest()
    with torch.device('meta'):
        return {f'{net}.{k}': torch.empty(shape) for net in networks for k, shape in shapes.items()}


def shipped(classes=20):
    init_default_scope('mmseg')
    model = Config.fromfile(ROOT / 'configs/_base_/models/acr_resnet38.py').model
    model.decode_head.num_classes = classes
    with torch.device('meta'):
        return MODELS.build(model)


def test_official_checkpoints_cover_the_model():
    converted = convert_acr(official('net_main', 'net_recon'))
    own = shipped().state_dict()
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in own.items()}
    painting = sum(key.startswith(('dr', 'fc_recon', 'genUnet')) for key in manifest())
    assert len(converted) == 2 * len(manifest()) - painting  # the classifier has none of it
    assert painting == 3 + 8 + 7 + 2


def test_every_tensor_gets_its_place():
    """Numbers of the generator begin with 0 here."""
    named = {key: key for key in official('net_main', 'net_recon')}
    places = {theirs: ours for ours, theirs in convert_acr(named).items()}
    assert places['net_main.fc8.weight'] == 'classifier.decode_head.reduction.weight'
    assert places['net_recon.b4_3.bn_branch2a.bias'].startswith('reconstructor.backbone.b4_3.')
    for theirs, ours in (
        ('dr1.weight', 'reductions.0.weight'),
        ('dr2.weight', 'reductions.1.weight'),
        ('fc_recon.weight', 'reductions.2.weight'),
        ('genUnet.down8.model.0.weight', 'generator.downs.7.0.weight'),
        ('genUnet.up1.model.0.weight', 'generator.ups.0.0.weight'),
        ('genUnet.final.1.bias', 'generator.final.1.bias'),
    ):
        assert places[f'net_recon.{theirs}'] == f'reconstructor.{ours}'


def test_other_classes_and_half_a_checkpoint():
    state = convert_acr(official('net_main', 'net_recon'))
    with pytest.raises(RuntimeError, match='size mismatch'):
        shipped(80).load_state_dict(state, strict=True, assign=True)
    with pytest.raises(ValueError, match=r'of ACR .*: net_recon\.\* is missing'):
        convert_acr(official('net_main'))
    with pytest.raises(ValueError, match=r'250 of 250 keys are unknown: conv1a\.weight'):
        convert_acr({key.partition('.')[2]: v for key, v in official('net_main').items()})


class Trap:
    """Runs code if it is unpickled."""

    def __reduce__(self):
        return exec, ('import builtins; builtins.acr_trap = True',)


def write(path, **beside):
    state = {key: torch.zeros(1) for key in official('net_main', 'net_recon')}
    torch.save(dict(state_dict=state, epoch=39, **beside), path)


@pytest.fixture
def callback(monkeypatch):
    """The class by which Lightning names the state of its callback, without Lightning."""
    names = [CALLBACK[:i] for i, c in enumerate(CALLBACK) if c == '.'] + [CALLBACK]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    kind = type('ModelCheckpoint', (), dict(__module__=CALLBACK))
    sys.modules[CALLBACK].ModelCheckpoint = kind
    return kind


def test_lightning_files_are_read_and_never_unpickled(tmp_path, callback, monkeypatch, run_script):
    arguments = dict(args=argparse.Namespace(D=256, W=[1, 0.2, 0.8, 0.3]))
    write(tmp_path / 'last.ckpt', hyper_parameters=arguments, callbacks={callback: dict(best=1.0)})
    for name in [name for name in sys.modules if name.startswith('pytorch_lightning')]:
        monkeypatch.delitem(sys.modules, name)
    said = run_script('convert.py', 'acr', tmp_path / 'last.ckpt', tmp_path / 'acr.pth')
    own = shipped().state_dict()
    assert said == f'{tmp_path / "acr.pth"}: {len(own)} tensors, a whole network\n'
    written = torch.load(tmp_path / 'acr.pth', weights_only=True)['state_dict']
    assert set(written) == set(own)
    assert 'pytorch_lightning' not in sys.modules


@pytest.mark.parametrize('content', [Trap(), {'sets': (Path('x'),)}], ids=['code', 'other class'])
def test_foreign_classes_are_refused_by_name(tmp_path, content):
    write(tmp_path / 'last.ckpt', extra=content)
    with pytest.raises(ValueError, match=r'last\.ckpt: .*objects of type \S*(exec|Path)\b'):
        read_acr(tmp_path / 'last.ckpt')
    assert not hasattr(builtins, 'acr_trap')
