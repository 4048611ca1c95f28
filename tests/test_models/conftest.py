"""A WeCLIP of a few thousand parameters."""

import pytest
import torch

from mmwsss.models import WeCLIP
from mmwsss.models.layers.dino_vit import DinoViT
from mmwsss.testing import tiny_clip_state, training_iteration

CLASSES = ('cat', 'dog', 'cow')


def tiny_dino_state(num_registers: int = 0, seed: int = 0) -> dict:
    """State dict of a random DINOv2: 2 blocks of width 64, patch 7, a table of 4 x 4."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vit = DinoViT(64, 2, 1, patch_size=7, table_size=4, num_registers=num_registers)
        state = {k: v + 0.1 * torch.randn_like(v) for k, v in vit.state_dict().items()}
        return dict(state, mask_token=torch.zeros(1, 64))


def tiny_weclip(**changes) -> WeCLIP:
    config = dict(
        backbone=dict(type='mmwsss.FrozenCLIP', checkpoint=tiny_clip_state(), quick_gelu=True),
        decode_head=dict(
            type='mmwsss.WeCLIPHead',
            in_channels=64,
            num_layers=3,
            num_classes=4,
            channels=16,
            num_blocks=1,
            num_heads=2,
        ),
        text=dict(type='mmwsss.TextBank', class_names=CLASSES, background_names=['grass', 'sky']),
        refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=3, gated_last=2),
        par=dict(type='mmwsss.PAR', dilations=(1, 2), iterations=3),
    )
    return WeCLIP(**{**config, **changes})


@pytest.fixture
def model() -> WeCLIP:
    torch.manual_seed(0)
    return tiny_weclip()


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 3, 40, 56)


@pytest.fixture
def at():
    """Set the training iteration."""
    with training_iteration() as at:
        yield at
