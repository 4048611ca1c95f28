"""No checkpoint may run code, by whichever door it comes in."""

import argparse
import os
import pickle
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.optim import OptimWrapper
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from mmwsss.utils.checkpoint import load_checkpoint_file, load_foreign_state


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class EvilGetattr:
    """Reaches for a function through the one getattr that checkpoints of mmengine use."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


class ToyBackbone(BaseModule):
    def __init__(self, init_cfg: dict) -> None:
        super().__init__(init_cfg)
        self.weight = nn.Parameter(torch.zeros(1))


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, *inputs: torch.Tensor, mode: str = 'tensor') -> dict:
        return {'loss': self.layer(torch.stack(inputs)).sum()}


def make_runner(work_dir: Path, max_iters: int = 2, **kwargs) -> Runner:
    torch.manual_seed(0)
    net = Net()
    return Runner(
        model=net,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(torch.ones(8, 2), batch_size=2, collate_fn=list),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=OptimWrapper(torch.optim.AdamW(net.parameters(), lr=0.1)),
        param_scheduler=dict(type='LinearLR', start_factor=0.5, end=10, by_epoch=False),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False)),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=f'{work_dir.parent.name}_{max_iters}_{len(kwargs)}',
        default_scope='mmengine',
        randomness=dict(seed=0),
        **kwargs,
    )


@pytest.fixture
def evil(tmp_path: Path) -> tuple[Path, Path]:
    """A file that torch.save wrote, with weights and an object that makes a folder."""
    path, mark = tmp_path / 'evil.pth', tmp_path / 'was_here'
    torch.save({'state_dict': {'weight': torch.zeros(1)}, 'meta': Evil(mark)}, path)
    return path, mark


def check_refused(error: Exception, path: Path, mark: Path) -> None:
    assert not mark.exists(), 'the code in the checkpoint has run'
    assert str(path) in str(error)
    assert 'mkdir' in str(error)
    assert 'If you trust' in str(error)


def test_the_file_is_malicious(evil):
    path, mark = evil
    torch.load(path, weights_only=False)
    assert mark.is_dir()


@pytest.mark.parametrize('resume', [False, True])
def test_load_from_and_resume_refuse(evil, tmp_path, resume):
    path, mark = evil
    runner = make_runner(tmp_path / 'work', load_from=str(path), resume=resume)
    with pytest.raises(ValueError, match='Refused to load') as info:
        runner.train()
    check_refused(info.value, path, mark)


@pytest.mark.parametrize('prefix', [None, 'backbone.'])
def test_init_cfg_refuses(evil, prefix):
    path, mark = evil
    module = ToyBackbone(dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    with pytest.raises(ValueError, match='Refused to load') as info:
        module.init_weights()
    check_refused(info.value, path, mark)


def test_plain_pickle_is_refused(tmp_path):
    path, mark = tmp_path / 'plain.pth', tmp_path / 'was_here'
    path.write_bytes(pickle.dumps({'state_dict': Evil(mark)}, protocol=2))
    with pytest.raises(ValueError, match='Refused to load') as info:
        load_checkpoint(nn.Linear(1, 1), str(path))
    check_refused(info.value, path, mark)


def test_getattr_serves_history_buffers_only(tmp_path):
    path = tmp_path / 'getattr.pth'
    torch.save({'a': EvilGetattr()}, path)
    with pytest.raises(ValueError, match=r'Refused to load .*__init__'):
        load_checkpoint_file(path)


LIGHTNING = ('argparse.Namespace', 'foreign.callbacks.Best')


@pytest.fixture
def lightning(tmp_path, monkeypatch):
    """A file like those of PyTorch Lightning: arguments, and callbacks by their class."""
    module = types.ModuleType('foreign.callbacks')
    monkeypatch.setitem(sys.modules, 'foreign', types.ModuleType('foreign'))
    monkeypatch.setitem(sys.modules, 'foreign.callbacks', module)
    module.Best = type('Best', (), {'__module__': 'foreign.callbacks'})
    content = {
        'state_dict': {'net.weight': torch.arange(3.0)},
        'hyper_parameters': argparse.Namespace(lr=0.1, betas=(0.9, 0.999)),
        'callbacks': {module.Best: {'score': 1.0}},
    }
    torch.save(content, tmp_path / 'last.ckpt')
    for name in ('foreign', 'foreign.callbacks'):
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / 'last.ckpt'


def test_objects_of_another_framework_become_empty_ones(lightning):
    """They are not even imported; without the stubs the file is refused."""
    state = load_foreign_state(lightning, LIGHTNING)
    assert state['state_dict']['net.weight'].tolist() == [0, 1, 2]
    assert not isinstance(state['hyper_parameters'], argparse.Namespace)
    assert vars(state['hyper_parameters']) == {}
    assert list(state['callbacks'].values()) == [{'score': 1.0}]
    assert 'foreign' not in sys.modules
    for stubs in ((), LIGHTNING[:1]):
        with pytest.raises(ValueError, match='Refused to load'):
            load_foreign_state(lightning, stubs)


class Copier:
    """Copies a file when it is unpickled."""

    def __init__(self, *paths: Path) -> None:
        self.paths = tuple(map(str, paths))

    def __reduce__(self):
        return shutil.copyfile, self.paths


def test_stubs_do_not_open_the_door(evil, tmp_path):
    """A hostile object is refused beside them, and does nothing if its own name is a stub."""
    path, mark = evil
    for stubs in (LIGHTNING, ('posix.mkdir', 'nt.mkdir')):  # modules that PyTorch never allows
        with pytest.raises(ValueError, match='Refused to load') as info:
            load_foreign_state(path, stubs)
        check_refused(info.value, path, mark)
    copier = tmp_path / 'copier.pth'
    torch.save({'state_dict': {}, 'meta': Copier(path, mark)}, copier)
    with pytest.raises(ValueError, match=r'objects of type shutil\.copyfile'):
        load_foreign_state(copier, LIGHTNING)
    assert set(load_foreign_state(copier, ('shutil.copyfile',))) == {'state_dict', 'meta'}
    assert not mark.exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'version https://git-lfs'])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / 'cut.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'cut\.pth cannot be read .*Copy or download it again'):
        load_checkpoint_file(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth does not exist'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))


@pytest.mark.parametrize('address', ['s3://bucket/a.pth', 'pavi://a.pth', 'mmcls://a'])
def test_other_schemes_are_refused(address):
    with pytest.raises(ValueError, match='Download the file and pass its path'):
        CheckpointLoader.load_checkpoint(address)


def test_http_goes_through_the_safe_loader(evil, tmp_path, monkeypatch):
    path, mark = evil
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(
        torch.hub,
        'download_url_to_file',
        lambda url, to, sha: Path(to).write_bytes(path.read_bytes()),
    )
    with pytest.raises(ValueError, match='Refused to load') as info:
        CheckpointLoader.load_checkpoint('https://example.org/models/evil.pth?x=1')
    assert not mark.exists()
    assert f'{tmp_path}/hub/checkpoints/' in str(info.value) and 'evil.pth' in str(info.value)


def test_addresses_that_end_alike_are_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    asked = []

    def download(url, to, sha):
        asked.append((Path(to).name, sha))
        torch.save(dict(url=url), to)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    addresses = [f'https://example.org/{name}/model.pth' for name in ('one', 'two', 'one')]
    found = [CheckpointLoader.load_checkpoint(address)['url'] for address in addresses]
    assert found == addresses and len(asked) == 2, 'and what is there is not fetched again'
    CheckpointLoader.load_checkpoint('https://example.org/three/model-0123abcd.pth')
    assert asked[-1] == ('model-0123abcd.pth', '0123abcd'), 'a name with a digest is one file'


def test_genuine_checkpoint_resumes(tmp_path):
    """All that mmengine saves comes back: EMA, optimizer, schedulers, log history."""
    make_runner(tmp_path / 'work').train()
    path = tmp_path / 'work' / 'iter_2.pth'
    saved = load_checkpoint_file(path)
    reference = torch.load(path, weights_only=False)
    assert saved.keys() == reference.keys()
    history = saved['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    np.testing.assert_array_equal(
        history.data, reference['message_hub']['log_scalars']['train/loss'].data
    )
    assert history.mean() == np.mean(history.data[0])

    resumed = make_runner(tmp_path / 'more', max_iters=4, load_from=str(path), resume=True)
    resumed.train()
    straight = make_runner(tmp_path / 'straight', max_iters=4)
    straight.train()
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=1e-6)
    assert resumed.optim_wrapper.get_lr() == straight.optim_wrapper.get_lr()


def test_safetensors_load(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / 'weights.safetensors'
    save_file({'weight': torch.full((1, 2), 3.0), 'bias': torch.zeros(1)}, path)
    layer = nn.Linear(2, 1)
    load_checkpoint(layer, str(path), map_location='cpu', strict=True)
    assert layer.weight.tolist() == [[3.0, 3.0]]

    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=r'weights\.safetensors is truncated'):
        load_checkpoint_file(path)
