"""Official checkpoints of AFA, and SegFormer's ImageNet weights, in our names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_MIT = (
    (r'patch_embed(\d)\.proj\.', r'layers.{stage}.0.projection.'),
    (r'patch_embed(\d)\.norm\.', r'layers.{stage}.0.norm.'),
    (r'block(\d)\.(\d+)\.(norm[12])\.', r'layers.{stage}.1.\2.\3.'),
    (r'block(\d)\.(\d+)\.attn\.proj\.', r'layers.{stage}.1.\2.attn.attn.out_proj.'),
    (r'block(\d)\.(\d+)\.attn\.(sr|norm)\.', r'layers.{stage}.1.\2.attn.\3.'),
    (r'block(\d)\.(\d+)\.mlp\.fc1\.', r'layers.{stage}.1.\2.ffn.layers.0.'),
    (r'block(\d)\.(\d+)\.mlp\.dwconv\.dwconv\.', r'layers.{stage}.1.\2.ffn.layers.1.'),
    (r'block(\d)\.(\d+)\.mlp\.fc2\.', r'layers.{stage}.1.\2.ffn.layers.4.'),
    (r'norm(\d)\.', r'layers.{stage}.2.'),
)
_QUERY = re.compile(r'block(\d)\.(\d+)\.attn\.q\.(weight|bias)$')
_KEY_VALUE = re.compile(r'block\d\.\d+\.attn\.kv\.(weight|bias)$')
_LEVEL = re.compile(r'decoder\.linear_c(\d)\.proj\.(weight|bias)$')
_HEADS = {
    'classifier.': 'cam_head.classifier.',
    'attn_proj.': 'affinity_head.proj.',
    'decoder.linear_fuse.': 'decode_head.fusion_conv.',
    'decoder.linear_pred.': 'decode_head.conv_seg.',
}


def convert_mit(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of SegFormer's ``mit_b*.pth``; the ImageNet classifier is left out.

    Returns:
        A state dict of :class:`mmwsss.models.backbones.MixVisionTransformerAttn` (and of mmseg's
        ``MixVisionTransformer``), without prefix.

    Raises:
        ValueError: A key is unknown, or queries have no keys and values.
    """
    converted = {}
    for key, value in official.items():
        if key.startswith('head.') or _KEY_VALUE.match(key):
            continue
        query = _QUERY.match(key)
        if query:
            stage, block, leaf = int(query[1]) - 1, query[2], query[3]
            pair = key.replace('.q.', '.kv.')
            if pair not in official:
                raise ValueError(f'{key} is there, but {pair} is missing')
            name = f'layers.{stage}.1.{block}.attn.attn.in_proj_{leaf}'
            converted[name] = torch.cat([value, official[pair]])
        else:
            name = _mit_name(key)
            pointwise = re.search(r'ffn\.layers\.[04]\.weight$', name)
            converted[name] = value[:, :, None, None] if pointwise else value
    return converted


def _mit_name(key: str) -> str:
    for pattern, name in _MIT:
        match = re.match(pattern, key)
        if match:
            name = match.expand(name.replace('{stage}', str(int(match[1]) - 1)))
            return name + key[match.end() :]
    raise ValueError(f'{key} is no key of an official MiT or AFA checkpoint')


def convert_afa(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official AFA checkpoint.

    Args:
        official: State dict of the official network, with or without ``module.``.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.AFA`.

    Raises:
        ValueError: A key is unknown.
    """
    official = {key.removeprefix('module.'): value for key, value in official.items()}
    encoder = {k[8:]: v for k, v in official.items() if k.startswith('encoder.')}
    converted = {f'backbone.{k}': v for k, v in convert_mit(encoder).items()}
    for key, value in official.items():
        if not key.startswith('encoder.'):
            name, value = _head_entry(key, value)
            converted[name] = value
    return converted


def _head_entry(key: str, value: Tensor) -> tuple[str, Tensor]:
    level = _LEVEL.match(key)
    if level:
        name = f'decode_head.convs.{int(level[1]) - 1}.{level[2]}'
        return name, value[:, :, None, None] if level[2] == 'weight' else value
    if key == 'decoder.linear_fuse.conv.weight':  # official order: coarsest level first
        value = torch.cat(value.chunk(4, dim=1)[::-1], dim=1)
    for prefix, name in _HEADS.items():
        if key.startswith(prefix):
            return name + key.removeprefix(prefix), value
    raise ValueError(f'{key} is no key of an official AFA checkpoint')
