"""Official checkpoints of MCTformer, and DeiT's ImageNet weights, in our names."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .rename import not_of, rename_keys
from .state import read_state

_BACKBONE = r'(?:cls_token$|pos_embed(?:_cls|_pat)?$|patch_embed\.proj\.|blocks\.\d+\.)'
_RULES = ((_BACKBONE, r'backbone.\g<0>'), (r'head\.', 'decode_head.conv.'))
_NORM = r'norm\.(weight|bias)'  # in the file, but no version applies it
_DEIT = "DeiT's ImageNet weights (deit_small_patch16_224-cd65a155.pth)"

read_mctformer = partial(read_state, stubs=('argparse.Namespace',))
"""State dict of an official file, which may hold the arguments of its training."""


def convert_mctformer(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official MCTformer state dict of any version.

    What the official networks hold and never use is left out: ``norm.*``; the linear ``head.*``
    of V1; ``pos_embed`` of MCTformer+, beside its ``pos_embed_cls`` and ``pos_embed_pat``.

    Args:
        official: ``checkpoint.pth`` (:func:`read_mctformer`) of V1, V2 or MCTformer+.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.MCTformer`.

    Raises:
        ValueError: A key is unknown.
    """
    shapes = {key.removeprefix('module.'): value.ndim for key, value in official.items()}
    dropped = [_NORM]
    if shapes.get('head.weight') == 2:
        dropped.append(r'head\.(weight|bias)')
    if 'pos_embed_pat' in shapes:
        dropped.append('pos_embed')
    return rename_keys(official, _RULES, dropped, 'MCTformer')


def convert_deit(
    official: Mapping[str, Tensor], num_classes: int, positions: str = 'joint', side: int = 14
) -> dict[str, Tensor]:
    """Initial weights of MCTformer's encoder from those of a DeiT.

    Class token and class position are repeated, so that all classes start alike. The positions of
    the patches are resized if the grid is another: bicubic for one table (``'joint'``: V1, V2),
    nearest for two (``'split'``: MCTformer+, 14 x 14 to 28 x 28). ``norm.*`` and ``head.*`` are
    left out.

    Args:
        official: State dict of a DeiT or ViT of timm without distillation.
        num_classes: C.
        positions, side: ``positions`` and grid of
            :class:`mmwsss.models.backbones.MultiClassTokenViT`.

    Returns:
        A state dict of that backbone, without prefix.

    Raises:
        ValueError: A key is unknown or one of the tables is missing or has another shape.
    """
    rules = [(_BACKBONE, r'\g<0>')]
    state = rename_keys(official, rules, [_NORM, r'head\.(weight|bias)'], _DEIT)
    token, table = state.get('cls_token'), state.pop('pos_embed', None)
    if token is None or table is None or token.shape[:2] != (1, 1) or table.ndim != 3:
        raise not_of(_DEIT, 'it has no cls_token (1, 1, D) or no pos_embed (1, 1 + N, D)')
    old = round((table.shape[1] - 1) ** 0.5)
    if old**2 + 1 != table.shape[1]:
        raise not_of(_DEIT, f'{table.shape[1] - 1} patch positions are no square grid')
    classes, patches = table[:, :1].expand(-1, num_classes, -1), table[:, 1:]
    if old != side:
        maps = patches.mT.unflatten(2, (old, old))
        filters = dict(mode='nearest') if positions == 'split' else dict(mode='bicubic')
        patches = F.interpolate(maps, size=(side, side), **filters).flatten(2).mT
    state['cls_token'] = token.expand(-1, num_classes, -1).clone()
    if positions == 'split':
        return {**state, 'pos_embed_cls': classes.clone(), 'pos_embed_pat': patches.clone()}
    return {**state, 'pos_embed': torch.cat([classes, patches], dim=1)}
