"""Text embeddings of class names and background names, computed once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.registry import MODELS


def text_features(
    clip: FrozenCLIP, names: Sequence[str], templates: Sequence[str], batch: int = 256
) -> Tensor:
    """Unit embedding of every name: templates filled in, encoded, normalised, averaged.

    Args:
        clip: Encodes the texts.
        names: What stands for ``{}``.
        templates: Sentences with ``{}``.
        batch: Texts per forward pass.

    Returns:
        ``(len(names), D)`` unit vectors.

    Raises:
        ValueError: If a filled template has more tokens than CLIP's context.
    """
    texts = [template.format(name) for name in names for template in templates]
    tokenizer = SimpleTokenizer()
    for text in texts:
        length = len(tokenizer.encode(text)) + 2
        if length > tokenizer.context_length:
            raise ValueError(
                f'the prompt {text!r} has {length} tokens, CLIP reads at most '
                f'{tokenizer.context_length}; shorten the class name or the template'
            )
    features = [clip.encode_text(tokens) for tokens in tokenizer(texts).split(batch)]
    features = F.normalize(torch.cat(features).float(), dim=-1)
    return F.normalize(features.unflatten(0, (len(names), -1)).mean(dim=1), dim=-1)


@MODELS.register_module()
class TextBank(BaseModule):
    """Class and background texts of a data set.

    A method's softmax runs over the classes an image contains and all background texts.

    Args:
        class_names: One text per foreground class, in class order. Synonyms may stand in one
            text (``'person with clothes,people,human'``).
        background_names: Texts of what is not a class but is often seen with one. Names that
            equal a class name are left out.
        templates: Sentences with ``{}``.

    Raises:
        ValueError: For no or duplicate class names.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        background_names: Sequence[str] = (),
        templates: Sequence[str] = ('a clean origami {}.',),
    ) -> None:
        super().__init__()
        duplicates = {name for name in class_names if list(class_names).count(name) > 1}
        if not class_names or duplicates:
            raise ValueError(
                'class_names must not be empty and must differ'
                + (f'; given twice: {sorted(duplicates)}' if duplicates else '')
            )
        self.class_names = list(class_names)
        self.background_names = [b for b in background_names if b not in self.class_names]
        self.templates = list(templates)
        self.register_buffer('embeddings', torch.empty(0), persistent=False)

    @property
    def num_classes(self) -> int:
        """Number of foreground classes."""
        return len(self.class_names)

    def encode(self, clip: FrozenCLIP) -> None:
        """Compute ``embeddings`` ``(num_classes + backgrounds, D)``, classes first."""
        self.embeddings = text_features(
            clip, self.class_names + self.background_names, self.templates
        )

    def mask(self, image_labels: Tensor) -> Tensor:
        """Texts in each image's softmax: its classes and every background text.

        Args:
            image_labels: Multi-hot ``(B, num_classes)``.

        Returns:
            ``(B, T)`` bool.
        """
        return F.pad(image_labels > 0, (0, len(self.background_names)), value=True)
