"""Class names behind words that are learned."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from mmwsss.models.layers.clip_text import CLIPText
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number

from .text_bank import as_clip_reads

_START, _END = 49406, 49407


def name_tokens(names: Sequence[str], length: int) -> Tensor:
    """Token ids of bare names, padded with 0.

    Args:
        names: Class names, background included.
        length: Ids per name, with start and end.

    Returns:
        ``(len(names), length)`` int64.

    Raises:
        ValueError: No name, an empty or a repeated one, or one that needs more ids; names it.
    """
    if isinstance(names, str) or not names:
        raise ValueError(f'class_names must be a list of names, got {names!r}')
    tokenizer = SimpleTokenizer()
    tokens = torch.zeros(len(names), length, dtype=torch.int64)
    seen = set()
    for row, name in zip(tokens, names, strict=True):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'class_names must be texts and not empty, got {name!r}')
        if as_clip_reads(name) in seen:
            raise ValueError(f'class_names must differ; given twice: {name!r}')
        seen.add(as_clip_reads(name))
        ids = [_START, *tokenizer.encode(name), _END]
        if len(ids) > length:
            raise ValueError(
                f'the class name {name!r} has {len(ids)} tokens with start and end, name_tokens '
                f'allows {length}: use a shorter name, or raise name_tokens (and '
                'backbone.context_length, which is name_tokens + num_contexts)'
            )
        row[: len(ids)] = torch.tensor(ids)
    return tokens


@MODELS.register_module()
@checked(num_contexts=COUNT, name_tokens=number(3, integer=True), width=COUNT)
class ContextPrompts(BaseModule):
    """Learned contexts, shared by all classes, between the start token and the class name.

    Args:
        class_names: Of all classes, background included.
        num_contexts: Learned words.
        name_tokens: Ids per name, with start and end; a longer name is an error.
        width: Width of the text tower.

    Raises:
        ValueError: See :func:`name_tokens`.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        num_contexts: int = 8,
        name_tokens: int = 5,
        width: int = 512,
    ) -> None:
        super().__init__()
        self.class_names, self.width = list(class_names), width
        tokens = _name_tokens(class_names, name_tokens)
        self.register_buffer('tokens', tokens, persistent=False)
        # the official standard deviation, a hundred times that of CLIP's own words
        self.contexts = nn.Parameter(torch.empty(1, num_contexts, width))
        nn.init.trunc_normal_(self.contexts)

    @property
    def length(self) -> int:
        """Tokens of a prompt."""
        return self.contexts.shape[1] + self.tokens.shape[1]

    def forward(self, tower: CLIPText) -> Tensor:
        """Embeddings ``(K, D)``, not normalised; gradients reach the contexts."""
        return tower(self.tokens, self.contexts)


_name_tokens = name_tokens  # an argument of the class has the same name
