"""Weights that are shipped with the package."""

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmwsss.models.backbones import ResNet38d
from mmwsss.utils.checkpoint import install_safe_loader


def test_mini_resnet_loads_and_is_trained():
    install_safe_loader()
    state = CheckpointLoader.load_checkpoint('mmwsss://mini_resnet38', map_location='cpu')
    backbone = ResNet38d(base_channels=8)
    own = {k for k in backbone.state_dict() if 'num_batches_tracked' not in k}
    assert own == set(state)
    assert all(v.dtype == torch.float32 for v in state.values())
    assert (state['bn7.running_var'] != 1).all()


def test_unknown_name_lists_what_there_is():
    install_safe_loader()
    with pytest.raises(FileNotFoundError, match='shipped weights are mini_clip, mini_resnet38'):
        CheckpointLoader.load_checkpoint('mmwsss://resnet', map_location='cpu')
