"""The DINOv2 tower: its positions written out, files that are refused."""

import pytest
import torch
from safetensors.torch import save_file

from mmwsss.models import FrozenDINOv2
from mmwsss.models.layers.dino_vit import DinoViT
from mmwsss.models.utils import dino_weights
from mmwsss.ops.vit_positions import interpolate_dino_positions

from .conftest import tiny_dino_state


def cubic(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resampled(line, new, registers):
    """One axis of a table ``(n, C)``, tap by tap."""
    old = len(line)
    step = old / new if registers else old / (new + 0.1)
    stretch, a = (max(step, 1.0), -0.5) if registers else (1.0, -0.75)
    rows = []
    for i in range(new):
        centre = (i + 0.5) * step - 0.5
        reach = range(int(centre - 2 * stretch) - 2, int(centre + 2 * stretch) + 4)
        weights = {j: cubic((j - centre) / stretch, a) for j in reach}
        if registers:  # what lies outside is left out and the rest made up for it
            weights = {j: w for j, w in weights.items() if 0 <= j < old}
            total = sum(weights.values())
            weights = {j: w / total for j, w in weights.items()}
        rows.append(sum(w * line[min(max(j, 0), old - 1)] for j, w in weights.items()))
    return torch.stack(rows)


@pytest.mark.parametrize('registers', [False, True])
@pytest.mark.parametrize('grid', [(5, 4), (11, 9), (7, 12)])
def test_positions_are_the_formula(registers, grid):
    torch.manual_seed(0)
    table = torch.randn(1, 1 + 7 * 7, 3)
    expected = table[0, 1:].unflatten(0, (7, 7))
    expected = resampled(expected, grid[0], registers)
    expected = resampled(expected.transpose(0, 1), grid[1], registers).transpose(0, 1)
    found = interpolate_dino_positions(table, grid, registers)
    torch.testing.assert_close(found[0, 1:].unflatten(0, grid), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(found[:, 0], table[:, 0])
    assert interpolate_dino_positions(table, (7, 7), registers) is table


def test_tower_is_timms_at_the_grid_of_the_table():
    """At its own grid no rule of positions matters, so timm's model says the same."""
    from timm.models.vision_transformer import VisionTransformer

    state = tiny_dino_state()
    timm = VisionTransformer(
        img_size=28, patch_size=7, embed_dim=64, depth=2, num_heads=1, num_classes=0, init_values=1
    ).eval()
    timm.load_state_dict({k: v for k, v in state.items() if k != 'mask_token'}, strict=False)
    image = torch.randn(2, 3, 28, 28)
    tokens, grid = FrozenDINOv2(state).encode(image)
    assert grid == (4, 4)
    torch.testing.assert_close(tokens, timm.forward_features(image), rtol=1e-4, atol=1e-5)


def test_registers_stand_behind_the_class_token_and_are_dropped():
    state = tiny_dino_state(num_registers=3)
    image = torch.randn(1, 3, 30, 22)
    tokens, grid = FrozenDINOv2(state).encode(image)
    assert grid == (4, 3) and tokens.shape == (1, 13, 64)
    state['register_tokens'] = state['register_tokens'] + 1
    assert not torch.allclose(FrozenDINOv2(state).encode(image)[0], tokens)


def test_images_are_resized_to_multiples_of_the_patch():
    tower = FrozenDINOv2(tiny_dino_state())
    image = torch.randn(1, 3, 33, 40)
    resized = torch.nn.functional.interpolate(image, size=(28, 35), mode='bilinear')
    assert torch.equal(tower.encode(image)[0], tower.encode(resized)[0])
    with pytest.raises(ValueError, match='smaller than a patch of 7 pixels'):
        tower.encode(torch.randn(1, 3, 6, 40))


def test_checkpoints_hold_a_digest_and_refuse_other_weights():
    tower = FrozenDINOv2(tiny_dino_state())
    assert set(tower.state_dict()) == {'digest'}
    FrozenDINOv2(tiny_dino_state()).load_state_dict(tower.state_dict())
    with pytest.raises(ValueError, match='another DINOv2 than the configured one'):
        FrozenDINOv2(tiny_dino_state(seed=1)).load_state_dict(tower.state_dict())


def test_files_that_are_none(tmp_path):
    path = tmp_path / 'dino.safetensors'
    state = {k: v.clone() for k, v in tiny_dino_state().items()}
    save_file(state, path)
    assert isinstance(FrozenDINOv2(path).vit, DinoViT)
    for change, message in (
        (dict(pos_embed=None), r'dino\.safetensors is not a DINOv2 .*pos_embed'),
        ({'blocks.1.norm1.weight': None}, r'(?s)dino\.safetensors does not fit.*blocks\.1\.norm1'),
        ({'norm.weight': torch.ones(3)}, r'(?s)does not fit.*norm\.weight'),
    ):
        save_file({k: v for k, v in {**state, **change}.items() if v is not None}, path)
        with pytest.raises(ValueError, match=message):
            FrozenDINOv2(path)
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth do not exist'):
        FrozenDINOv2(tmp_path / 'nothing.pth')
    with pytest.raises(ValueError, match="did you mean 'dinov2_vits14'"):
        FrozenDINOv2('dinov2_vit14')


def test_weights_are_looked_for_before_they_are_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv('MMWSSS_DINO_DIR', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    torch.save(tiny_dino_state(num_registers=3), tmp_path / 'dinov2_vits14_reg4_pretrain.pth')
    assert FrozenDINOv2('dinov2_vits14_reg').embed_dims == 64

    def offline(address, _path):
        raise OSError(address)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    message = r'dinov2_vitb14_pretrain\.pth were not found .*dinov2/dinov2_vitb14/.*DINO_DIR'
    with pytest.raises(FileNotFoundError, match=message):
        FrozenDINOv2('dinov2_vitb14')


def test_random_weights_say_so(monkeypatch):
    said = []
    monkeypatch.setattr(dino_weights, 'print_log', lambda text, *_, **__: said.append(text))
    monkeypatch.setitem(dino_weights.SIZES, 'dinov2_vits14', (64, 1))
    assert FrozenDINOv2('random').embed_dims == 64
    assert 'RANDOM WEIGHTS' in said[0]
