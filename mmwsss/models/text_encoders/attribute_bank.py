"""Class texts enriched with attributes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.ops.clip.attribute_bank import cluster_attributes, enrich_text
from mmwsss.registry import MODELS
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.arguments import COUNT, WHOLE, checked, number
from mmwsss.utils.checks import some
from mmwsss.utils.io import write_arrays
from mmwsss.utils.text import read_json

from .text_bank import TextBank
from .text_features import cached_text_features, cut_to_context

PLAIN = 'plain'
_ASSETS = Path(__file__).parents[2] / 'assets'
SHIPPED = {
    'shipped': _ASSETS / 'class_descriptions.json',
    'mini': _ASSETS / 'mini_descriptions.json',
}
_PREFIX = 'a clean origami {}. '
_PREFIXED = 'a clean origami '


def read_descriptions(path: str | os.PathLike, names: Sequence[str]) -> list[list[str]]:
    """Sentences of classes.

    Args:
        path: JSON ``{class name: [sentence, ...]}``; may hold more classes.
        names: Which ones, as in the file.

    Returns:
        The sentences in the order of ``names``.

    Raises:
        ValueError: The file is of another form, or lacks a class or its sentences.
    """
    content = read_json(path, 'Description file')
    if not isinstance(content, Mapping):
        raise ValueError(f'{path} must hold an object {{class name: [sentence, ...]}}')
    missing = [name for name in names if not content.get(name)]
    if missing:
        raise ValueError(
            f'{path} has no descriptions of {some(missing)}; it knows {some(content)}. Add them, '
            'or name with described_as what stands for a class'
        )
    for name in names:
        sentences = content[name]
        if not isinstance(sentences, list) or not all(isinstance(s, str) for s in sentences):
            raise ValueError(f'{path}: the entry of {name!r} must be a list of sentences')
    return [list(content[name]) for name in names]


def build_bank(
    clip: FrozenCLIP,
    class_names: Sequence[str],
    descriptions: Sequence[Sequence[str]],
    num_attributes: int | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Attribute bank of described classes (TSE of ExCEL).

    Args:
        clip: Encodes the sentences.
        class_names: The texts of the classes, which are put in front of their sentences.
        descriptions: Sentences of each class. Those that begin with ``a clean origami`` (the
            official files) stay as they are; what is too long for CLIP is cut with a warning.
        num_attributes: K; None: as published, 5.6 a class up to 40 classes and 2.8 beyond.
        seed: Of the clustering.

    Returns:
        See :func:`mmwsss.ops.clip.attribute_bank.cluster_attributes`.
    """
    counts = [len(sentences) for sentences in descriptions]
    texts = [
        _described(name, sentence)
        for name, sentences in zip(class_names, descriptions, strict=True)
        for sentence in sentences
    ]
    embeddings = cached_text_features(clip, cut_to_context(texts), ['{}'])
    if num_attributes is None:
        share = 5.6 if len(counts) <= 40 else 2.8
        num_attributes = min(round(share * len(counts)), len(embeddings.unique(dim=0)))
    return cluster_attributes(embeddings, counts, num_attributes, seed)


def _described(name: str, sentence: str) -> str:
    sentence = sentence.strip().lower()
    if sentence.startswith(_PREFIXED):
        return sentence
    return f'{_PREFIX.format(name.lower())}{sentence}'


def save_bank(path: str | os.PathLike, bank: Tensor, **about: object) -> None:
    """Write a bank ``(D, K)`` and what it was made from as ``.npz``, atomically."""
    facts = {name: np.array(value) for name, value in about.items()}
    write_arrays(path, bank=bank.numpy(), **facts)


def load_bank(path: str | os.PathLike) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Read a bank.

    Args:
        path: ``.npz`` of ``tools/build_attribute_bank.py``, or the official ``.pth``, a list of
            bank and flags.

    Returns:
        The bank ``(D, K)`` float32, and what the file says of it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It holds no bank.
    """
    about: dict[str, np.ndarray] = {}
    if Path(path).suffix == '.npz':
        try:
            with np.load(path, allow_pickle=False) as file:
                about = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise
        except Exception as error:  # zip and npy readers raise whatever broken bytes lead to
            raise ValueError(f'{path} is no attribute bank ({error})') from error
        bank = torch.from_numpy(about.pop('bank')) if 'bank' in about else None
    else:
        content = load_checkpoint_file(path, 'cpu')
        bank = content
        if isinstance(content, list | tuple) and content:
            bank = content[0]
            if len(content) > 1:
                about['flags'] = np.asarray(content[1])
    if not isinstance(bank, Tensor) or bank.ndim != 2 or not bank.isfinite().all():
        raise ValueError(
            f'{path} is no attribute bank: it must hold a matrix of numbers (embedding x '
            'attributes); make it with tools/build_attribute_bank.py'
        )
    return bank.float(), about


@MODELS.register_module()
@checked(num_attributes=COUNT, seed=WHOLE, top=number(0, 1, open_low=True))
class AttributeTextBank(TextBank):
    """Class texts that are enriched with attributes of described classes (TSE of ExCEL).

    Args:
        bank: ``.json`` of descriptions, which are clustered when the model is built; ``.npz`` of
            ``tools/build_attribute_bank.py`` or the official ``.pth``; a ``(D, K)`` tensor;
            ``'shipped'``: the descriptions of COCO's and VOC's classes in this package;
            ``'mini'``: those of the mini data set;
            ``'plain'``: the class texts as they are.
        num_attributes, seed: Of the clustering; see :func:`build_bank`.
        described_as: Names in the descriptions, one per class; None: ``class_names``.
        top: Share of the attributes that are used.
        kwargs: Arguments of :class:`TextBank`.

    Raises:
        ValueError: ``bank`` is None, of another text tower, or does not describe the classes.
    """

    def __init__(
        self,
        *args,
        bank: str | os.PathLike | Tensor | None = None,
        num_attributes: int | None = None,
        seed: int = 0,
        described_as: Sequence[str] | None = None,
        top: float = 0.9,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if bank is None:
            raise ValueError(
                'text.bank is missing: give descriptions (.json), an attribute bank (.npz, or the '
                "official .pth), 'shipped' for the classes of COCO and VOC, or say 'plain' for "
                'class texts without attributes'
            )
        described_as = self.class_names if described_as is None else list(described_as)
        if len(described_as) != self.num_classes:
            raise ValueError(
                f'text.described_as names {len(described_as)} classes, class_names '
                f'{self.num_classes}'
            )
        self.bank, self.top = bank, top
        self.num_attributes, self.seed = num_attributes, seed
        self.described_as = described_as
        self.register_buffer('enriched', torch.empty(0), persistent=False)

    def encode(self, clip: FrozenCLIP) -> None:
        """Compute ``embeddings`` and, with attributes, ``enriched``, ``(T, D)`` unit vectors."""
        super().encode(clip)
        bank = self._attributes(clip)
        if bank is None:
            self.enriched = self.embeddings
            return
        if bank.shape[0] != self.embeddings.shape[1]:
            raise ValueError(
                f'{self.bank} holds attributes of {bank.shape[0]} numbers, the CLIP makes texts of '
                f'{self.embeddings.shape[1]}: it was made with another CLIP'
            )
        self.enriched = enrich_text(
            self.embeddings, bank.to(self.embeddings), self.num_classes, self.top
        )

    def _attributes(self, clip: FrozenCLIP) -> Tensor | None:
        """The bank ``(D, K)``; None for plain texts."""
        if isinstance(self.bank, Tensor):
            return self.bank
        if self.bank == PLAIN:
            return None
        path = SHIPPED.get(str(self.bank), Path(self.bank))
        if path.suffix != '.json':
            bank, about = load_bank(path)
            self._check_origin(path, about, clip)
            return bank
        sentences = read_descriptions(path, self.described_as)
        return build_bank(clip, self.class_names, sentences, self.num_attributes, self.seed)[0]

    def _check_origin(self, path: Path, about: Mapping[str, np.ndarray], clip: FrozenCLIP) -> None:
        """Refuse a bank that was made for other classes or with another text tower.

        The official ``.pth`` says nothing but the number of classes.
        """
        missing = sorted({'classes', 'text_tower'} - about.keys()) if path.suffix == '.npz' else []
        if missing:
            raise ValueError(
                f'{path} does not say what it was made for (no {", ".join(missing)}): make it '
                'again with tools/build_attribute_bank.py'
            )
        if 'flags' in about and len(about['flags']) != self.num_classes:
            raise ValueError(
                f'{path} was made for {len(about["flags"])} classes, there are '
                f'{self.num_classes}: take the bank of these classes, or make one with '
                'tools/build_attribute_bank.py'
            )
        if 'classes' in about and sorted(about['classes'].tolist()) != sorted(self.class_names):
            other = sorted(set(about['classes'].tolist()) ^ set(self.class_names))
            raise ValueError(
                f'{path} was made for other classes (different: {some(other)}): make it again '
                'with tools/build_attribute_bank.py'
            )
        if 'text_tower' in about and int(about['text_tower']) != clip.text_digest():
            raise ValueError(
                f'{path} was made with the text tower of another CLIP than '
                'model.backbone.checkpoint: make it again with tools/build_attribute_bank.py'
            )
