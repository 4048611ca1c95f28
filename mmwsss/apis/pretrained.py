"""Folders from which an inferencer is made again, on a disk or on the Hugging Face hub.

A folder holds ``config.json`` (data alone, nothing that runs), ``model.safetensors`` (CLIP, or a
trained network), a card ``README.md``, and for ExCEL the descriptions or the attribute bank. Frozen
CLIP and DINOv2 of a trained network have files of their own. Nothing is unpickled.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from ..models.backbones.clip_vit import FrozenCLIP
from ..models.backbones.dinov2 import FrozenDINOv2
from ..models.text_encoders.attribute_bank import PLAIN, SHIPPED
from ..models.utils.clip_weights import find_clip_file, read_clip_file
from ..models.utils.dino_weights import find_dino_file
from ..registry import DATASETS, MODELS, TRANSFORMS
from ..stages.options import walk
from ..utils.checkpoint import load_checkpoint_file, weights_in
from ..utils.checks import check_output_folder, some
from ..utils.io import atomic_write, write_json, write_text
from ..utils.provenance import as_json
from ..utils.text import read_json
from ..version import __version__

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
# Networks whose weights no checkpoint holds: their class, its file here, and how theirs is found.
FROZEN = (
    (FrozenCLIP, 'clip.safetensors', find_clip_file),
    (FrozenDINOv2, 'dino.safetensors', find_dino_file),
)
BANKS = ('bank.json', 'bank.npz')
_PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl', '.pickle')
_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')
_OURS = ('mmwsss', 'mmseg', 'mmcv', 'mmengine', 'torch')
# Keys of models and pipelines whose texts name files or addresses.
_SOURCES = re.compile(r'(.*_)?(checkpoint|pretrained|bank|class_weight|file|filename|path)')


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
    folder, config = _new_folder(folder), as_json(config)
    _drop_sources(config['model'])
    _write_bank(folder, config['model']['text'])
    backbone = config['model']['backbone']
    _write_clip(folder / WEIGHTS, clip, backbone)
    backbone['checkpoint'] = WEIGHTS
    _write_texts(folder, config, classes, figures or {}, 'Masks from class names, without training')


def write_network(
    folder: str | os.PathLike,
    config: Mapping[str, Any],
    model: nn.Module,
    classes: Sequence[str],
    figures: Mapping[str, Any] | None = None,
) -> None:
    """The same of a trained network; the config comes last.

    Args:
        folder: New or empty.
        config: With ``model`` and ``test_pipeline``.
        model: Built and loaded.
        classes: Of the foreground, for the card.
        figures: ``{what: value}``, for the card.

    Raises:
        OSError: Nothing can be written there.
        ValueError: The folder is not empty; the config names a file that cannot come along, or
            frozen weights that are in no file.
    """
    folder, config = _new_folder(folder), dict(as_json(config), trained=True)
    _drop_sources(config['model'])
    frozen = _take_frozen(config['model'])
    text = config['model'].get('text') or {}
    for key, value in _sources(config):
        ours = value in (text.get('bank'), *frozen)
        if isinstance(value, str) and os.path.isfile(value) and not ours:
            raise ValueError(f'{key} of the config names the file {value}, which cannot come along')
    _write_bank(folder, text)
    for name, (part, source) in frozen.items():
        if issubclass(MODELS.get(part['type']), FrozenCLIP):
            _write_clip(folder / name, source, part)
        else:
            _save(folder / name, weights_in(load_checkpoint_file(source, 'cpu')))
    _save(folder / WEIGHTS, model.state_dict())
    names = {name: name for name in classes}
    _write_texts(folder, config, names, figures or {}, 'A segmentation network, trained')


def _drop_sources(model: dict) -> None:
    """Forget where weights came from: they will come from the folder."""
    for part in _dicts(model):
        part.pop('init_cfg', None)
        if part.get('pretrained'):
            part['pretrained'] = False if part['pretrained'] is True else None


def _sources(config: Mapping) -> Iterator[tuple[str, Any]]:
    """Keys of model and pipeline that name files or addresses, with their values."""
    for key, value in walk({part: config[part] for part in ('model', 'test_pipeline')}):
        if _SOURCES.fullmatch(key.rpartition('.')[2]):
            yield key, value


def _take_frozen(model: dict) -> dict[str, tuple[dict, Path]]:
    """Name the files of frozen weights in a model's config; what they are made of.

    Returns:
        ``{file: (part of the config as it was, its weights)}``.
    """
    found = {}
    for part, name, find in _frozen(model):
        default = inspect.signature(MODELS.get(part['type']).__init__).parameters['checkpoint']
        given = part.get('checkpoint', default.default)
        if not isinstance(given, str) or given == 'random':
            raise ValueError(f'the weights of {part["type"]} come from no file: name one')
        if name in found:
            raise ValueError(f'the config has two {part["type"]}, and a folder takes one')
        found[name] = dict(part), find(given)
        part['checkpoint'] = name
    return found


def _new_folder(folder: str | os.PathLike) -> Path:
    folder = Path(folder)
    check_output_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f'{folder} is not empty: choose another folder')
    return folder


def _save(path: Path, state: Mapping[str, Tensor], **metadata: str) -> None:
    from safetensors.torch import save_file

    state = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    with atomic_write(path) as tmp:
        save_file(state, tmp, {'format': 'pt', **metadata})


def _write_clip(path: Path, clip: str | os.PathLike, backbone: Mapping) -> None:
    state, quick = read_clip_file(clip)
    if quick is None:
        quick = backbone.get('quick_gelu', backbone.get('checkpoint') == 'openai')
    _save(path, state, quick_gelu=str(bool(quick)).lower())


def _write_bank(folder: Path, text: dict) -> None:
    bank = text.get('bank', PLAIN)
    if bank == PLAIN or bank in SHIPPED:
        return
    text['bank'] = f'bank{Path(bank).suffix}'
    if text['bank'] not in BANKS:
        raise ValueError(f'{bank} is a pickle: make a .npz with tools/build_attribute_bank.py')
    with atomic_write(folder / text['bank']) as tmp:
        shutil.copyfile(bank, tmp)


def _write_texts(
    folder: Path, config: dict, classes: Mapping[str, str], figures: Mapping, what: str
) -> None:
    write_text(folder / CARD, _card(config, classes, figures, what))
    write_json(folder / CONFIG, dict(mmwsss=__version__, **config))


def _frozen(model: Mapping) -> Iterator[tuple[dict, str, Callable]]:
    """Parts of a model's config whose weights are frozen, their file, and what finds theirs."""
    for part in list(_dicts(model)):
        kind = MODELS.get(part['type']) if isinstance(part.get('type'), str) else None
        for base, name, find in FROZEN:
            if isinstance(kind, type) and issubclass(kind, base):
                yield part, name, find


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
        # a pickle is not even downloaded
        wanted = [CONFIG, WEIGHTS, CARD, *BANKS, *(name for _, name, _ in FROZEN)]
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
        raise FileNotFoundError(
            f'{folder} has no {WEIGHTS}: give a folder that save_pretrained of an inferencer has '
            'written'
        )
    config = read_json(folder / CONFIG, 'Config')
    _check_shape(config, folder / CONFIG)
    model = config['model']
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
    if config.get('trained'):
        _find_frozen(model, folder)
    else:
        model['backbone']['checkpoint'] = str(folder / WEIGHTS)
    text = model.get('text') or {}
    bank = text.get('bank')
    if bank in BANKS:
        text['bank'] = str(folder / bank)
    elif bank is not None and bank != PLAIN and bank not in SHIPPED:
        raise ValueError(f'{folder / CONFIG}: text.bank must be one of {some(BANKS)}, got {bank!r}')
    _check_sources(config, folder)
    return config


def _check_shape(config: Any, path: Path) -> None:
    """Raise ValueError unless a config has the parts that an inferencer is made of."""
    wrong = [
        f'{key} must be an object with a type'
        for key, part in _typed_parts(config)
        if not isinstance(_get(part, 'type'), str)
    ]
    if not isinstance(_get(config, 'test_pipeline'), list):
        wrong.append('test_pipeline must be a list')
    free = not wrong and not config.get('trained')
    if free and not _is_names(config['model']['text'].get('class_names')):
        wrong.append('model.text.class_names must be a list of texts')
    if wrong:
        raise ValueError(f'{path} is no config of an inferencer: {"; ".join(wrong)}')


def _typed_parts(config: Any) -> Iterator[tuple[str, Any]]:
    """Keys at which there must be an object with a type, and what is there."""
    model, trained = _get(config, 'model'), _get(config, 'trained')
    yield 'model', model
    for key in ('backbone', 'text'):
        if not trained or _get(model, key):
            yield f'model.{key}', _get(model, key)
    loader = _get(config, 'test_dataloader')
    if trained or loader:
        yield 'test_dataloader.dataset', _get(loader, 'dataset')
    steps = _get(config, 'test_pipeline')
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        yield f'test_pipeline.{number}', step


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _check_sources(config: dict, folder: Path) -> None:
    """Raise ValueError if a config names a file or an address outside of its folder."""
    files = (WEIGHTS, *BANKS, *(name for _, name, _ in FROZEN))
    own = [PLAIN, *SHIPPED, *(str(folder / name) for name in files)]
    for key, value in _sources(config):
        names = isinstance(value, str) or key.endswith(('.checkpoint', '.pretrained'))
        if names and value and value not in own:
            raise ValueError(
                f'{folder / CONFIG} names weights outside of the folder: {key}={value!r:.200}'
            )


def _find_frozen(model: dict, folder: Path) -> None:
    """Fill in the paths of frozen weights."""
    for part, name, _ in _frozen(model):
        if not (folder / name).is_file():
            raise FileNotFoundError(f'{folder} has no {name}')
        part['checkpoint'] = str(folder / name)


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


def _card(
    config: Mapping, classes: Mapping[str, str], figures: Mapping[str, Any], what: str
) -> str:
    kind = config['model']['type'].split('.')[-1]
    lines = [
        '---', 'library_name: mmwsss', 'pipeline_tag: image-segmentation', '---', '',
        f'# {kind}', '',
        f'{what}, by mmwsss {__version__}.', '',
        '```python',
        'from mmwsss.apis import WSSSInferencer',
        "result = WSSSInferencer.from_pretrained('FOLDER or owner/name')('image.jpg')",
        '```', '',
        '## Classes', '',
        *(f'- {name}' + (f': `{text}`' if text != name else '') for name, text in classes.items()),
    ]  # fmt: skip
    if figures:
        lines += ['', '## Figures', '', '| | |', '|---|---|']
        cells = ([str(cell).replace('|', r'\|') for cell in pair] for pair in figures.items())
        lines += [f'| {" | ".join(pair)} |' for pair in cells]
    return '\n'.join([*lines, ''])
