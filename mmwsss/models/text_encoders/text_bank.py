"""Text embeddings of class names and background names, computed once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.registry import MODELS
from mmwsss.utils.io import check_class_count

from .text_features import cached_text_features, check_templates


def as_clip_reads(text: str) -> str:
    """A text without the differences of case and blanks, which CLIP's tokenizer removes."""
    return ' '.join(text.lower().split())


def _check_texts(what: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ValueError(f'{what} must be a list of texts, not the text {texts!r}')
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{what} must be texts and not empty, got {text!r}')


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

    Texts are equal if they differ in nothing but case and blanks, which CLIP does not see.

    Raises:
        ValueError: For no, empty or duplicate class names, and for templates without ``{}``.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        background_names: Sequence[str] = (),
        templates: Sequence[str] = ('a clean origami {}.',),
    ) -> None:
        super().__init__()
        _check_texts('class_names', class_names)
        check_class_count(1 + len(class_names), 'class_names')
        _check_texts('background_names', background_names)
        check_templates(templates)
        seen = [as_clip_reads(name) for name in class_names]
        duplicates = {n for n in class_names if seen.count(as_clip_reads(n)) > 1}
        if not class_names or duplicates:
            raise ValueError(
                'class_names must not be empty and must differ'
                + (f'; given twice: {sorted(duplicates)}' if duplicates else '')
            )
        self.class_names = list(class_names)
        self.background_names = [b for b in background_names if as_clip_reads(b) not in seen]
        self.templates = list(templates)
        self.register_buffer('embeddings', torch.empty(0), persistent=False)

    @property
    def num_classes(self) -> int:
        """Number of foreground classes."""
        return len(self.class_names)

    def encode(self, clip: FrozenCLIP) -> None:
        """Compute ``embeddings`` ``(num_classes + backgrounds, D)``, classes first."""
        self.embeddings = cached_text_features(
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
