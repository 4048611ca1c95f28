import logging
import pickle

import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import nn

from mmwsss.models.backbones import FrozenCLIP
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.utils import clip_weights
from mmwsss.models.utils.clip_weights import load_clip
from mmwsss.ops.clip.vit import drop_images, embed_patches, interpolate_positions
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
    with pytest.raises(FileNotFoundError, match=r'nothing\.pt do not exist'):
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


TOKENS = torch.tensor([[49406, 320, 49407, 0]])


def test_text_tower_is_read_again_when_it_is_needed():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    features = clip.encode_text(TOKENS)
    assert features.shape == (1, 16)
    clip.drop_text()
    assert not any('text_tower' in name for name, _ in clip.named_parameters())
    assert torch.equal(clip.encode_text(TOKENS), features)


def test_text_tower_of_another_file_is_refused(tmp_path):
    path = tmp_path / 'clip.pt'
    state = tiny_clip_state()
    torch.save(state, path)
    clip = FrozenCLIP(path, quick_gelu=True)
    clip.drop_text()
    torch.save({**state, 'visual.proj': state['visual.proj'] + 1}, path)
    with pytest.raises(ValueError, match=r'clip\.pt does not hold the CLIP any more'):
        clip.encode_text(TOKENS)


def test_towers_are_moved_but_not_saved():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    assert set(clip.state_dict()) == {'digest'}
    clip.load_state_dict(clip.state_dict())
    assert clip.to(torch.float64).text_tower.text_projection.dtype == torch.float64
    full = FrozenCLIP(tiny_clip_state(), quick_gelu=True, save_frozen=True).state_dict()
    assert 'visual.proj' in full and not any(key.startswith('text_tower') for key in full)


def test_contexts_are_words_behind_the_start():
    """Embeddings of real words, given as contexts, give what the sentence itself gives."""
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    sentence = torch.tensor([[49406, 320, 530, 700, 49407, 0]])
    words = clip.text_tower.token_embedding(sentence[0, 1:3]).detach().requires_grad_()
    rest = torch.tensor([[49406, 700, 49407, 0]])
    found = clip.text_tower(rest, words)
    torch.testing.assert_close(found, clip.encode_text(sentence))
    found.sum().backward()
    assert words.grad.abs().sum() > 0


def test_request_is_followed():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    image = torch.randn(2, 3, 16, 24)
    count = clip.num_layers
    plain = clip.encode(image)
    full = clip.encode(
        image, CLIPRequest(last=True, attn=2, heads='sum', middle=True, projected=True)
    )
    assert len(plain.tokens) == count - 1 and len(full.tokens) == len(full.middle) == count
    torch.testing.assert_close(full.tokens[-2], plain.tokens[-1])
    tokens = full.attn.shape[-1] + 1
    assert full.attn.shape[:2] == (2, 2)
    heads = clip.visual.transformer.resblocks[0].attn.num_heads
    mean = clip.encode(image, CLIPRequest(last=True, attn=2)).attn
    torch.testing.assert_close(full.attn, heads * mean)
    expected = clip.visual.ln_post(full.tokens[-1]) @ clip.visual.proj
    torch.testing.assert_close(full.projected, expected)
    assert full.projected.shape == (2, tokens, 16)
    with pytest.raises(ValueError, match='ask for last=True'):
        CLIPRequest(projected=True)


def test_drop_path_skips_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    dropped = drop_images(x, 0.25)
    assert set(dropped.flatten(1).unique(dim=0)[:, 0].tolist()) == {
        0.0,
        torch.tensor(1 / 0.75).item(),
    }
    assert (dropped.flatten(1).std(dim=1) == 0).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert drop_images(x, 0) is x


def test_positions_by_way_of_another_grid():
    visual = FrozenCLIP(tiny_clip_state(), quick_gelu=True).visual
    patch = visual.conv1.kernel_size[0]
    image = torch.randn(1, 3, 6 * patch, 7 * patch)
    table = visual.positional_embedding
    direct, twice = embed_patches(visual, image), embed_patches(visual, image, pre_grid=5)
    assert not torch.allclose(direct, twice)
    visual.positional_embedding = nn.Parameter(interpolate_positions(table, (5, 5)))
    torch.testing.assert_close(embed_patches(visual, image), twice)


def test_images_smaller_than_a_patch():
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    with pytest.raises(ValueError, match='smaller than one'):
        clip.encode(torch.zeros(1, 3, 6, 40))
