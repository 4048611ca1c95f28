"""Official WeCLIP checkpoints in our names."""

import re
from collections.abc import Mapping

from torch import Tensor

_RENAMES = (
    (r'encoder\.visual\.', 'backbone.visual.'),
    (r'decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj\.', r'decode_head.layers.\1.0.'),
    (r'decoder_fts_fuse\.linears_modulelist\.(\d+)\.proj_2\.', r'decode_head.layers.\1.2.'),
    (r'decoder_fts_fuse\.linear_fuse\.', 'decode_head.fusion.'),
    (r'decoder\.transformer\.resblocks\.', 'decode_head.blocks.'),
    (r'decoder\.linear_pred\.', 'decode_head.classifier.'),
)
# the text tower is not part of a trained model; the others are constants or left-overs
_DROPPED = re.compile(
    r'encoder\.(positional_embedding|text_projection|logit_scale|transformer\.|token_embedding\.'
    r'|ln_final\.|visual\.positional_embedding_new|(input_resolution|context_length|vocab_size)$)'
    r'|par\.kernel$'
)


def convert_weclip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official WeCLIP state dict.

    Args:
        official: ``model.state_dict()`` of the official code.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.WeCLIP`.

    Raises:
        ValueError: If a key is unknown.
    """
    converted, unknown = {}, []
    for key, value in official.items():
        key = key.removeprefix('module.')
        if _DROPPED.match(key):
            continue
        for pattern, name in _RENAMES:
            if re.match(pattern, key):
                converted[re.sub(f'^{pattern}', name, key)] = value
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f'{len(unknown)} keys are not those of an official WeCLIP checkpoint: '
            f'{", ".join(unknown[:5])}'
        )
    return converted


def official_clip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The CLIP state dict inside an official WeCLIP checkpoint, OpenAI's key names."""
    official = {k.removeprefix('module.'): v for k, v in official.items()}
    clip = {k.removeprefix('encoder.'): v for k, v in official.items() if k.startswith('encoder.')}
    clip.pop('visual.positional_embedding_new', None)
    if not clip:
        raise ValueError('there is no CLIP (keys "encoder.*") in this checkpoint')
    return clip
