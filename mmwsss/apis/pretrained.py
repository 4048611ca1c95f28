"""Folders from which an inferencer is made again, on a disk or on the Hugging Face hub.

A folder holds ``config.json`` (data alone, nothing that runs), ``model.safetensors`` (CLIP), a card
``README.md``, and for ExCEL the descriptions or the attribute bank. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings

from ..models.text_encoders.attribute_bank import PLAIN, SHIPPED
from ..models.utils.clip_weights import read_clip_file
from ..registry import DATASETS, MODELS, TRANSFORMS
from ..utils.checks import check_output_folder, some
from ..utils.io import atomic_write
from ..utils.provenance import as_json
from ..utils.text import read_json
from ..version import __version__

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
BANKS = ('bank.json', 'bank.npz')
_PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl', '.pickle')
_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')
_OURS = ('mmwsss', 'mmseg', 'mmcv', 'mmengine', 'torch')


def write_folder(
    folder: str | os.PathLike,
    config: Mapping[str, Any],
    clip: str | os.PathLike,
    classes: Mapping[str, str],
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write a folder that :func:`read_folder` reads; the config comes last.

    Args:
        folder: New or empty.
        config: With ``model`` and ``test_pipeline``.
        clip: File of the CLIP weights.
        classes: ``{name: prompt}``, for the card.
        figures: ``{what: value}``, for the card.

    Raises:
        OSError: Nothing can be written there.
        ValueError: The folder is not empty; an attribute bank that is a pickle.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    check_output_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f'{folder} is not empty: choose another folder')
    config = as_json(config)
    text, backbone = config['model']['text'], config['model']['backbone']
    bank = text.get('bank', PLAIN)
    if bank != PLAIN and bank not in SHIPPED:
        text['bank'] = f'bank{Path(bank).suffix}'
        if text['bank'] not in BANKS:
            raise ValueError(f'{bank} is a pickle: make a .npz with tools/build_attribute_bank.py')
        with atomic_write(folder / text['bank']) as tmp:
            shutil.copyfile(bank, tmp)
    state, quick = read_clip_file(clip)
    if quick is None:
        quick = backbone.get('quick_gelu', backbone.get('checkpoint') == 'openai')
    state = {key: value.clone().contiguous() for key, value in state.items()}
    with atomic_write(folder / WEIGHTS) as tmp:
        save_file(state, tmp, {'quick_gelu': str(bool(quick)).lower(), 'format': 'pt'})
    backbone['checkpoint'] = WEIGHTS
    with atomic_write(folder / CARD) as tmp:
        tmp.write_text(_card(config, classes, figures or {}), encoding='utf-8')
    with atomic_write(folder / CONFIG) as tmp:
        content = dict(mmwsss=__version__, **config)
        tmp.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


def find_folder(name: str | os.PathLike, revision: str | None = None) -> Path:
    """A folder on the disk, or a copy of one on the hub.

    Args:
        name: Folder, or ``owner/name`` on the hub.
        revision: Branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: Neither.
    """
    if os.path.isdir(name):
        return Path(name)
    if not _HUB_ID.fullmatch(str(name)):
        raise FileNotFoundError(f'{name} is neither a folder nor owner/name on the hub')
    from huggingface_hub import snapshot_download

    try:
        wanted = [CONFIG, WEIGHTS, CARD, *BANKS]  # a pickle is not even downloaded
        return Path(snapshot_download(str(name), revision=revision, allow_patterns=wanted))
    except Exception as error:  # of the network, of the hub
        raise FileNotFoundError(
            f'{name} is no folder here, and cannot be had from the Hugging Face hub '
            f'({type(error).__name__}: {str(error)[:200]})'
        ) from error


def read_folder(folder: Path, trust_remote_code: bool = False) -> dict[str, Any]:
    """The config of a folder, checked, with the paths of its files.

    Args:
        folder: See :func:`find_folder`.
        trust_remote_code: Import what ``custom_imports`` of the config names, and let it name any
            class. Without, only classes of this package and of those that it builds on are named.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: There is a pickle in place of the weights; a config that is none, or names
            something that it may not.
    """
    if not (folder / WEIGHTS).is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        if pickles:
            raise ValueError(
                f'{folder} has {some(pickles)} in place of {WEIGHTS}: pickles can run any code and '
                'are never loaded. Ask its owner for safetensors.'
            )
        raise FileNotFoundError(f'{folder} has no {WEIGHTS}')
    config = read_json(folder / CONFIG, 'Config')
    parts = config if isinstance(config, dict) else {}
    model = parts.get('model')
    shaped = isinstance(model, dict) and isinstance(parts.get('test_pipeline'), list)
    if not shaped or not all(isinstance(model.get(key), dict) for key in ('backbone', 'text')):
        raise ValueError(
            f'{folder / CONFIG} is no config of an inferencer: it has no model with backbone and '
            'text, or no test_pipeline'
        )
    imports = config.pop('custom_imports', None)
    if imports and not trust_remote_code:
        raise ValueError(
            f'{folder / CONFIG} wants to import {imports!r:.100}: say trust_remote_code=True if '
            'you trust its owner and have looked at the code'
        )
    if trust_remote_code:
        if imports:
            import_modules_from_strings(**imports)
    else:
        _check_types(config, folder / CONFIG)
    model['backbone']['checkpoint'] = str(folder / WEIGHTS)
    bank = model['text'].get('bank')
    if bank in BANKS:
        model['text']['bank'] = str(folder / bank)
    elif bank is not None and bank != PLAIN and bank not in SHIPPED:
        raise ValueError(f'{folder / CONFIG}: text.bank must be one of {some(BANKS)}, got {bank!r}')
    return config


def _check_types(config: dict, path: Path) -> None:
    """Refuse types that are not registered: mmengine would import whatever they name."""
    known = [name for registry in (MODELS, TRANSFORMS, DATASETS) for name in _names(registry)]
    for value in _dicts(config):
        if '_scope_' in value:
            raise ValueError(f'{path} has a _scope_; write it before the type')
        if 'type' in value and value['type'] not in known:
            raise ValueError(
                f'{path} names the type {value["type"]!r:.100}, which is none of mmwsss and '
                'MMSegmentation and could run any code: say trust_remote_code=True if you trust '
                'its owner'
            )


def _names(registry: Registry) -> Iterator[str]:
    """Names of the classes of the packages that we know, plain and with their scope."""
    while registry.parent is not None:
        registry = registry.parent
    waiting = [registry]
    while waiting:
        node = waiting.pop()
        waiting += node.children.values()
        for name, kind in node.module_dict.items():
            if kind.__module__.split('.')[0] in _OURS:
                yield from (name, f'{node.scope}.{name}')


def _dicts(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for part in inner:
            yield from _dicts(part)


def _card(config: Mapping, classes: Mapping[str, str], figures: Mapping[str, Any]) -> str:
    kind = config['model']['type'].split('.')[-1]
    lines = [
        '---', 'library_name: mmwsss', 'pipeline_tag: image-segmentation', '---', '',
        f'# {kind}', '',
        'Masks from class names by mmwsss, without training.', '',
        '```python',
        'from mmwsss.apis import WSSSInferencer',
        "result = WSSSInferencer.from_pretrained('FOLDER or owner/name')('image.jpg')",
        '```', '',
        '## Classes', '',
        *(f'- {name}' + (f': `{text}`' if text != name else '') for name, text in classes.items()),
    ]  # fmt: skip
    if figures:
        lines += ['', '## Figures', '', '| | |', '|---|---|']
        lines += [f'| {name} | {value} |' for name, value in figures.items()]
    return '\n'.join([*lines, ''])
