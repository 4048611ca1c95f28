import logging
import pickle

import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file

from mmwsss.models.backbones import FrozenCLIP
from mmwsss.models.utils import clip_weights
from mmwsss.models.utils.clip_weights import load_clip
from mmwsss.testing import tiny_clip_state


class _Archive(torch.nn.Module):
    """Holds a state dict the way OpenAI's TorchScript archive does."""

    def __init__(self, state):
        super().__init__()
        for key, value in state.items():
            module = self
            *path, leaf = key.split('.')
            for name in path:
                if not hasattr(module, name):
                    module.add_module(name, torch.nn.Module())
                module = getattr(module, name)
            module.register_buffer(leaf, value)

    def forward(self, x):
        return x


@pytest.fixture
def archive(tmp_path):
    state = {k: v.half() for k, v in tiny_clip_state().items()}
    state.update(
        input_resolution=torch.tensor(32),
        context_length=torch.tensor(77),
        vocab_size=torch.tensor(49408),
    )
    path = tmp_path / 'ViT.pt'
    torch.jit.save(torch.jit.trace(_Archive(state), torch.zeros(1)), path)
    return path


def test_torchscript_archive_is_read_with_quick_gelu(archive):
    clip = load_clip(archive)
    assert isinstance(clip.visual.transformer.resblocks[0].mlp[1], QuickGELU)
    assert not clip.training and clip.visual.proj.dtype == torch.float32
    torch.testing.assert_close(
        clip.visual.proj.detach(), tiny_clip_state()['visual.proj'].half().float()
    )
    with pytest.raises(ValueError, match='contradicts'):
        load_clip(archive, quick_gelu=False)


def test_safetensors_tells_its_activation(tmp_path):
    state = {k: v.contiguous() for k, v in tiny_clip_state().items()}
    save_file(state, tmp_path / 'a.safetensors', metadata={'quick_gelu': 'false'})
    gelu = load_clip(tmp_path / 'a.safetensors').visual.transformer.resblocks[0].mlp[1]
    assert isinstance(gelu, torch.nn.GELU)


def test_the_activation_is_never_guessed(tmp_path):
    torch.save(tiny_clip_state(), tmp_path / 'plain.pt')
    with pytest.raises(ValueError, match=r'plain\.pt does not tell its activation.*quick_gelu'):
        load_clip(tmp_path / 'plain.pt')
    assert load_clip(tmp_path / 'plain.pt', quick_gelu=True) is not None


def test_pickled_code_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, (f'open({str(tmp_path / "ran")!r}, "w")',)

    for name, save in (
        ('zip.pt', torch.save),
        ('raw.pt', lambda o, p: p.write_bytes(pickle.dumps(o))),
    ):
        save({'state_dict': Bomb()}, tmp_path / name)
        with pytest.raises(ValueError, match=rf'{name} is neither .*pickled objects are refused'):
            load_clip(tmp_path / name)
    assert not (tmp_path / 'ran').exists()


def test_wrong_architecture_names_file_and_key(tmp_path):
    state = tiny_clip_state()
    resnet = {k: v.contiguous() for k, v in state.items() if k != 'visual.conv1.weight'}
    save_file(resnet, tmp_path / 'rn.safetensors', metadata={'quick_gelu': 'true'})
    with pytest.raises(ValueError, match=r'rn\.safetensors is not a CLIP.*visual\.conv1\.weight'):
        load_clip(tmp_path / 'rn.safetensors')
    state['visual.ln_post.weight'] = torch.ones(3)
    with pytest.raises(ValueError, match=r'(?s)does not fit.*visual\.ln_post\.weight'):
        load_clip(state, quick_gelu=True)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pt does not exist'):
        load_clip(tmp_path / 'nothing.pt')


def test_openai_by_name(archive, tmp_path, monkeypatch):
    monkeypatch.delenv('MMWSSS_CLIP_CKPT', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('MMWSSS_CLIP_DIR', str(tmp_path))

    def no_network(cfg):
        raise OSError('no network')

    monkeypatch.setattr(clip_weights, 'download_pretrained', no_network)
    with pytest.raises(FileNotFoundError, match=r'ViT-B-16\.pt.*MMWSSS_CLIP_CKPT'):
        load_clip('openai')
    (tmp_path / 'ViT-B-16.pt').write_bytes(archive.read_bytes())
    assert load_clip('openai').visual.conv1.kernel_size == (8, 8)
    monkeypatch.setenv('MMWSSS_CLIP_CKPT', str(tmp_path / 'gone.pt'))
    with pytest.raises(FileNotFoundError, match=r'MMWSSS_CLIP_CKPT points to .*gone\.pt'):
        load_clip('openai')


def test_random_weights_are_announced_and_repeatable(monkeypatch, caplog):
    monkeypatch.setattr(
        clip_weights,
        '_VIT_B16',
        dict(clip_weights._VIT_B16, vision_cfg=dict(layers=1, width=64, patch_size=16),
             text_cfg=dict(layers=1, width=64, heads=1)),
    )  # fmt: skip
    said = []
    monkeypatch.setattr(
        clip_weights, 'print_log', lambda text, logger, level: said.append((text, level))
    )
    first, second = load_clip('random'), load_clip('random')
    assert torch.equal(first.visual.proj, second.visual.proj)
    assert said[0][1] == logging.WARNING and 'RANDOM WEIGHTS' in said[0][0]


def test_text_tower_is_freed():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    tokens = torch.tensor([[49406, 320, 49407, 0]])
    assert clip.encode_text(tokens).shape == (1, 16)
    clip.drop_text()
    with pytest.raises(RuntimeError, match='text tower was dropped'):
        clip.encode_text(tokens)


def test_images_smaller_than_a_patch():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    with pytest.raises(ValueError, match='smaller than one'):
        clip.encode(torch.zeros(1, 3, 6, 40))
