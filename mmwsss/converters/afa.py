"""Official checkpoints of AFA, and SegFormer's ImageNet weights, in our names."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .rename import Rule, from_zero, not_of, prefixed, rename_keys

_MIT = (
    (r'patch_embed(\d)\.proj\.', from_zero('layers.{}.0.projection.')),
    (r'patch_embed(\d)\.norm\.', from_zero('layers.{}.0.norm.')),
    (r'block(\d)\.(\d+)\.(norm[12])\.', from_zero('layers.{}.1.{}.{}.')),
    (
        r'block(\d)\.(\d+)\.attn\.q\.(?=weight$|bias$)',
        from_zero('layers.{}.1.{}.attn.attn.in_proj_'),
    ),
    (r'block(\d)\.(\d+)\.attn\.proj\.', from_zero('layers.{}.1.{}.attn.attn.out_proj.')),
    (r'block(\d)\.(\d+)\.attn\.(sr|norm)\.', from_zero('layers.{}.1.{}.attn.{}.')),
    (r'block(\d)\.(\d+)\.mlp\.fc1\.', from_zero('layers.{}.1.{}.ffn.layers.0.')),
    (r'block(\d)\.(\d+)\.mlp\.dwconv\.dwconv\.', from_zero('layers.{}.1.{}.ffn.layers.1.')),
    (r'block(\d)\.(\d+)\.mlp\.fc2\.', from_zero('layers.{}.1.{}.ffn.layers.4.')),
    (r'norm(\d)\.', from_zero('layers.{}.2.')),
)
_AFA = (
    *prefixed(_MIT, r'encoder\.', 'backbone.'),
    (r'decoder\.linear_c(\d)\.proj\.(?=weight$|bias$)', from_zero('decode_head.convs.{}.')),
    (r'decoder\.linear_fuse\.', 'decode_head.fusion_conv.'),
    (r'decoder\.linear_pred\.', 'decode_head.conv_seg.'),
    (r'classifier\.', 'cam_head.classifier.'),
    (r'attn_proj\.', 'affinity_head.proj.'),
)
_PAIR = re.compile(r'(.*block\d\.\d+\.attn\.)(q|kv)\.(weight|bias)')
_JOINED = r'(encoder\.)?block\d\.\d+\.attn\.kv\.(weight|bias)'  # is part of the query's tensor
_MATRIX = re.compile(r'.*(ffn\.layers\.[04]|decode_head\.convs\.\d)\.weight')
_FUSION = 'decode_head.fusion_conv.conv.weight'


def convert_mit(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of SegFormer's ``mit_b*.pth``; the ImageNet classifier is left out.

    Returns:
        A state dict of :class:`mmwsss.models.backbones.MixVisionTransformerAttn` (and of mmseg's
        ``MixVisionTransformer``), without prefix.

    Raises:
        ValueError: A key is unknown, queries have no keys and values (or the reverse), or a tensor
            has another shape than in SegFormer.
    """
    return _convert(official, _MIT, r'head\..*', "SegFormer's ImageNet weights (mit_b*.pth)")


def convert_afa(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official AFA checkpoint.

    Args:
        official: State dict of the official network, with or without ``module.``.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.AFA`.

    Raises:
        ValueError: As :func:`convert_mit`.
    """
    return _convert(official, _AFA, r'encoder\.head\..*', 'AFA')


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """:func:`convert_mit` for the weights of the encoder alone, else :func:`convert_afa`."""
    alone = any(key.removeprefix('module.').startswith('patch_embed1.') for key in official)
    return convert_mit(official) if alone else convert_afa(official)


def _convert(
    official: Mapping[str, Tensor], rules: Sequence[Rule], classifier: str, what: str
) -> dict[str, Tensor]:
    state = {key: _joined(key, value, official, what) for key, value in official.items()}
    converted = rename_keys(state, rules, [classifier, _JOINED], what)
    return {name: _as_convolution(name, value, what) for name, value in converted.items()}


def _joined(key: str, value: Tensor, official: Mapping[str, Tensor], what: str) -> Tensor:
    """Of queries ``attn.q.*`` (C, C): with the keys and values ``attn.kv.*`` (2C, C), (3C, C)."""
    pair = _PAIR.fullmatch(key)
    if pair is None:
        return value
    other = f'{pair[1]}{"kv" if pair[2] == "q" else "q"}.{pair[3]}'
    if other not in official:
        raise not_of(what, f'{key} is there, but {other} is missing')
    if pair[2] == 'kv':
        return value
    rows, *columns = value.shape
    if official[other].shape != (2 * rows, *columns):
        shapes = f'{tuple(official[other].shape)} and {tuple(value.shape)}'
        raise not_of(what, f'{other} and {key} do not fit together, their shapes are {shapes}')
    return torch.cat([value, official[other]])


def _as_convolution(name: str, value: Tensor, what: str) -> Tensor:
    """Matrices ``(out, in)`` as 1x1 kernels; the four levels of the fusion in our order."""
    if _MATRIX.fullmatch(name):
        if value.ndim != 2:
            raise not_of(what, f'{name} is no matrix: its shape is {tuple(value.shape)}')
        return value[:, :, None, None]
    if name == _FUSION:  # official order: coarsest level first
        if value.ndim != 4 or value.shape[1] % 4:
            raise not_of(what, f'{name} has no four levels: its shape is {tuple(value.shape)}')
        return torch.cat(value.chunk(4, dim=1)[::-1], dim=1)
    return value
