"""Official WeakCLIP checkpoints in our names."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .rename import not_of, rename_keys

_CONTEXT = r'context_decoder\.'
_RULES = (
    (r'contexts$', 'prompts.contexts'),
    (r'(gamma|beta)$', r'\1'),
    (r'backbone\.fpn1\.', 'adapter.levels.0.'),
    (r'backbone\.fpn2\.', 'adapter.levels.1.'),
    (r'backbone\.fpn3\.', 'adapter.levels.2.0.'),
    (r'backbone\.fpn4\.', 'adapter.levels.3.'),
    (rf'{_CONTEXT}memory_proj\.', 'co_attention.visual_proj.'),
    (rf'{_CONTEXT}text_proj\.', 'co_attention.text_proj.'),
    (rf'{_CONTEXT}decoder\.2\.', 'co_attention.text_layer.'),
    (rf'{_CONTEXT}anti_decoder\.2\.', 'co_attention.visual_layer.'),
    (rf'{_CONTEXT}out_proj\.', 'co_attention.text_out.'),
    (rf'{_CONTEXT}anti_out_proj\.', 'co_attention.visual_out.'),
    (r'(?:neck|decode_head)\.', r'\g<0>'),
)
_CLIP_RULES = ((r'backbone\.(?!fpn)', 'visual.'), (r'text_encoder\.', ''))
_VISION, _TEXT = r'backbone\.(?!fpn).*', r'text_encoder\..*'
# The official loop keeps the result of the last layer alone, which has the same input.
DEAD = rf'{_CONTEXT}(?:anti_)?decoder\.[01]\..*'


def convert_weakclip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename what is trained nominally, the adapter included; CLIP is left out.

    Args:
        official: ``model.state_dict()`` of the official code.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.WeakCLIP` whose ``backbone.checkpoint``
        is the file of :func:`official_clip`.

    Raises:
        ValueError: A key is unknown, or nothing of WeakCLIP is in it.
    """
    return rename_keys(official, _RULES, [DEAD, _VISION, _TEXT], 'WeakCLIP')


def official_clip(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The CLIP inside an official WeakCLIP checkpoint, OpenAI's key names.

    It is not OpenAI's any more: the official schedule moves it a little. The scale of logits, which
    it lacks and nothing here uses, is CLIP's 100.

    Raises:
        ValueError: There is none.
    """
    rest = [rf'(?!{_VISION}|{_TEXT}).*']
    clip = rename_keys(official, _CLIP_RULES, rest, 'WeakCLIP')
    if not any(key.startswith('visual.') for key in clip):
        raise not_of('WeakCLIP', 'there is no CLIP (keys "backbone.*", "text_encoder.*") in it')
    return dict(clip, logit_scale=torch.tensor(math.log(100)))
