"""Weights that are shipped with the package."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader

from mmwsss.models.backbones import ResNet38d
from mmwsss.registry import MODELS
from mmwsss.utils.checkpoint import install_safe_loader


def shipped(name: str) -> dict:
    install_safe_loader()
    state = CheckpointLoader.load_checkpoint(f'mmwsss://{name}', map_location='cpu')
    assert all(v.dtype == torch.float32 for v in state.values())
    return state


def test_mini_resnet_loads_and_is_trained():
    state = shipped('mini_resnet38')
    backbone = ResNet38d(base_channels=8)
    own = {k for k in backbone.state_dict() if 'num_batches_tracked' not in k}
    assert own == set(state)
    assert (state['bn7.running_var'] != 1).all()


def test_mini_mit_loads_and_is_trained():
    state = shipped('mini_mit')
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs/wsss/afa_mini.py')
    init_default_scope('mmseg')
    backbone = MODELS.build(cfg.model.backbone)
    backbone.load_state_dict(state, strict=True)
    assert (state['layers.3.2.weight'] != 1).any()


@pytest.mark.parametrize('version', ['mctformer', 'mctformer-v1', 'mctformer-plus'])
def test_mini_deit_starts_every_version_with_equal_classes(version):
    state = shipped('mini_deit')
    assert (state['norm.weight'] != 1).any()  # is trained, though not used by MCTformer
    cfg = Config.fromfile(Path(__file__).parents[2] / f'configs/wsss/{version}_mini_cam.py')
    init_default_scope('mmseg')
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    token = backbone.cls_token.detach()
    assert torch.equal(token, state['cls_token'].expand(-1, 10, -1))
    last = backbone.blocks[-1].mlp.fc2.weight.detach()
    assert torch.equal(last, state['blocks.5.mlp.fc2.weight'])


@pytest.mark.parametrize('name', ['transcam_mini_cam', 'avc_mini_cam'])
def test_mini_conformer_loads_and_is_trained(name):
    state = shipped('mini_conformer')
    cfg = Config.fromfile(Path(__file__).parents[2] / f'configs/wsss/{name}.py')
    init_default_scope('mmseg')
    backbone = MODELS.build(cfg.model.backbone)
    own = {k for k in backbone.state_dict() if 'num_batches_tracked' not in k}
    assert own == set(state)
    backbone.init_weights()
    assert torch.equal(backbone.cls_token.detach(), state['cls_token'])
    assert (state['bn1.running_var'] != 1).all() and (state['trans_norm.weight'] != 1).any()


def test_unknown_name_lists_what_there_is():
    install_safe_loader()
    names = 'mini_clip, mini_conformer, mini_deit, mini_dino, mini_mit, mini_resnet38'
    with pytest.raises(FileNotFoundError, match=f'are {names}'):
        CheckpointLoader.load_checkpoint('mmwsss://resnet', map_location='cpu')
