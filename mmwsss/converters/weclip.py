"""Official WeCLIP checkpoints in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import not_of, rename_keys

_LAYERS = r'decoder_fts_fuse\.linears_modulelist\.(\d+)\.'
DECODER_RULES = (
    (rf'{_LAYERS}proj\.', r'decode_head.layers.\1.0.'),
    (rf'{_LAYERS}proj_2\.', r'decode_head.layers.\1.2.'),
    (r'decoder_fts_fuse\.linear_fuse\.', 'decode_head.fusion.'),
    (r'decoder\.transformer\.resblocks\.', 'decode_head.blocks.'),
    (r'decoder\.linear_pred\.', 'decode_head.classifier.'),
)
RULES = ((r'encoder\.visual\.', 'backbone.visual.'), *DECODER_RULES)
_LEFT_OVER = r'encoder\.visual\.positional_embedding_new'
# the text tower is not part of a trained model; the others are constants or left-overs
DROPPED = (
    r'encoder\.(positional_embedding|text_projection|logit_scale)',
    r'encoder\.(transformer|token_embedding|ln_final)\..*',
    r'encoder\.(input_resolution|context_length|vocab_size)',
    _LEFT_OVER,
    r'par\.kernel',
)


def convert_weclip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official WeCLIP state dict.

    Args:
        official: ``model.state_dict()`` of the official code.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.WeCLIP`.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, RULES, DROPPED, 'WeCLIP')


def official_clip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The CLIP state dict inside an official WeCLIP checkpoint, OpenAI's key names.

    Raises:
        ValueError: There is none.
    """
    clip = rename_keys(official, [(r'encoder\.', '')], [_LEFT_OVER, r'(?!encoder\.).*'], 'WeCLIP')
    if not clip:
        raise not_of('WeCLIP', 'there is no CLIP (keys "encoder.*") in it')
    return clip
