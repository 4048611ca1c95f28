"""Embeddings of texts."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.utils.io import atomic_write

_VERSION = 1  # of what text_features computes


def check_templates(templates: Sequence[str]) -> None:
    """Raise ValueError unless every template is a sentence with one ``{}`` for the name."""
    if isinstance(templates, str) or not templates:
        raise ValueError(f"templates must be a list of sentences with '{{}}', got {templates!r}")
    for template in templates:
        before, name, after = template.partition('{}') if isinstance(template, str) else ('',) * 3
        if not name or set(before + after) & set('{}'):
            raise ValueError(
                f"the template {template!r} must hold '{{}}' once, for the class name, and no "
                "other braces, as in 'a photo of a {}.'"
            )


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
        ValueError: A template without ``{}``, or a filled one has more tokens than CLIP's context.
    """
    check_templates(templates)
    texts = [template.format(name) for name in names for template in templates]
    tokenizer = SimpleTokenizer()
    for text in texts:
        length = len(tokenizer.encode(text)) + 2
        if length > tokenizer.context_length:
            raise ValueError(
                f'the prompt {text!r} has {length} tokens, CLIP reads at most '
                f'{tokenizer.context_length}; shorten the class name or the template'
            )
    tokens = tokenizer(texts).to(clip.digest.device)
    features = [clip.encode_text(part) for part in tokens.split(batch)]
    features = F.normalize(torch.cat(features).float(), dim=-1)
    return F.normalize(features.unflatten(0, (len(names), -1)).mean(dim=1), dim=-1)


def cut_to_context(texts: Sequence[str]) -> list[str]:
    """Texts without the words at their ends that CLIP has no room for; a warning says how many."""
    tokenizer = SimpleTokenizer()
    result = []
    for text in texts:
        words = text.split()
        while len(tokenizer.encode(' '.join(words))) + 2 > tokenizer.context_length:
            words.pop()
        result.append(' '.join(words))
    cut = [text for text, kept in zip(texts, result, strict=True) if text.split() != kept.split()]
    if cut:
        print_log(
            f'{len(cut)} of {len(texts)} descriptions have more than the '
            f'{tokenizer.context_length} tokens that CLIP reads and are cut; the first: {cut[0]!r}',
            'current',
            logging.WARNING,
        )
    return result


def cached_text_features(
    clip: FrozenCLIP, names: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """:func:`text_features`, computed once for the same text tower, names and templates.

    Files lie in ``$MMWSSS_CACHE_DIR/texts``, by default ``~/.cache/mmwsss/texts``, and can be
    deleted at any time. Where nothing can be written, nothing is remembered.

    Raises:
        ValueError: See :func:`text_features`.
    """
    key = [_VERSION, clip.text_digest(), clip.half_rounding, list(names), list(templates)]
    path = _folder() / f'{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.npy'
    found = _read(path, len(names))
    if found is None:
        found = text_features(clip, names, templates).cpu()
        _write(path, found)
    return found.to(clip.digest.device)


def _folder() -> Path:
    named = os.environ.get('MMWSSS_CACHE_DIR')
    return (Path(named) if named else Path.home() / '.cache' / 'mmwsss') / 'texts'


def _read(path: Path, count: int) -> Tensor | None:
    """Unit vectors as written; None if there is no such file or it is damaged."""
    try:
        found = torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None
    whole = found.ndim == 2 and len(found) == count and found.dtype == torch.float32
    unit = whole and torch.allclose(found.norm(dim=1), torch.ones(count), atol=1e-3)
    return found if unit else None


def _write(path: Path, features: Tensor) -> None:
    try:
        with atomic_write(path) as tmp:
            np.save(tmp, features.numpy(), allow_pickle=False)
    except OSError:
        return
