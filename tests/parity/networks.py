"""Networks of the shipped configs with the seeded weights of the official ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.registry import MODELS

from .harness import Case

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)  # RGB, of ImageNet
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
MODEL_CONFIGS = Path(__file__).parents[2] / 'configs/_base_/models'


def network(case: Case, config: str, convert: Callable, *manifests: str) -> torch.nn.Module:
    """A model in evaluation mode.

    Args:
        case: Knows the seed.
        config: Name of a config in ``configs/_base_/models``.
        convert: Official state dict -> ours.
        manifests: File names; the first that exists counts.
    """
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(MODEL_CONFIGS / f'{config}.py').model)
    model.load_state_dict(convert(case.weights(*manifests)), strict=True)
    return model.eval()


def rgb_inputs(model: torch.nn.Module, case: Case) -> torch.Tensor:
    """``in_image``, uint8 RGB, normalised by the preprocessor of the config."""
    images = list(case.tensor('in_image').flip(1))  # BGR, as they are loaded
    return model.data_preprocessor(dict(inputs=images))['inputs']


def imagenet_normalised(image: np.ndarray) -> torch.Tensor:
    """uint8 ``(..., 3, H, W)`` RGB, with the order of roundings of the official codes."""
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
    std = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
    return torch.from_numpy((image / np.float32(255) - mean) / std)


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """The model in training mode, but nothing is dropped."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return model
