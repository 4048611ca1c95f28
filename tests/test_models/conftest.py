"""A WeCLIP of a few thousand parameters."""

import pytest
import torch
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from mmwsss.models import WeCLIP
from mmwsss.models.layers.dino_vit import DinoViT

CLASSES = ('cat', 'dog', 'cow')


def tiny_clip_state(seed: int = 0) -> dict:
    """State dict of a random CLIP: 4 blocks of width 64, patch 8."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vision = CLIPVisionCfg(layers=4, width=64, patch_size=8, image_size=32)
        text = CLIPTextCfg(layers=1, width=64, heads=1)
        state = CLIP(16, vision, text, quick_gelu=True).state_dict()
    for key, value in state.items():
        if key.endswith('in_proj_weight'):
            value *= 4
    return state


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


def samples(*labels: tuple[int, ...], size: tuple[int, int] = (40, 56)) -> list[SegDataSample]:
    found = []
    for classes in labels:
        sample = SegDataSample(metainfo=dict(img_path='x.png', ori_shape=size, img_shape=size))
        hot = torch.zeros(len(CLASSES))
        hot[list(classes)] = 1
        sample.gt_image_labels = LabelData(label=hot)
        found.append(sample)
    return found


@pytest.fixture
def model() -> WeCLIP:
    torch.manual_seed(0)
    return tiny_weclip()


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 3, 40, 56)
