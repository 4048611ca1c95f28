"""A CLIP of a few thousand parameters."""

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor


def tiny_clip_state(seed: int = 0) -> dict[str, Tensor]:
    """State dict of a random CLIP: 4 blocks of width 64, patch 8, images of 32 pixels.

    :class:`mmwsss.models.FrozenCLIP` takes it as ``checkpoint``, with ``quick_gelu=True``.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vision = CLIPVisionCfg(layers=4, width=64, patch_size=8, image_size=32)
        text = CLIPTextCfg(layers=1, width=64, heads=1)
        state = CLIP(16, vision, text, quick_gelu=True).state_dict()
    for key, value in state.items():
        if key.endswith('in_proj_weight'):
            value *= 4  # random attention is nearly uniform otherwise
    return state
