"""Configs of an inferencer: found by name, read, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

import mmwsss

from ..models.utils.clip_weights import find_clip_file
from ..registry import DATASETS
from .class_names import ClassNames

_NEEDED = ('model.backbone', 'model.text', 'test_pipeline')
_SHIPPED = ('clip_es_*.py', 'excel_free_*.py')


def find_config(model: str | os.PathLike) -> Path:
    """A path, or the name of a config of ``configs/wsss`` or ``configs/segmentation``.

    Raises:
        FileNotFoundError: There is none of this name.
    """
    path, package = Path(model), Path(mmwsss.__file__).parent
    if path.suffix == '.py':
        return path
    roots = [root / 'configs' for root in (package.parent, package / '.mim')]
    folders = [root / group for root in roots for group in ('wsss', 'segmentation')]
    for folder in folders:
        if (folder / f'{path}.py').is_file():
            return folder / f'{path}.py'
    names = sorted(p.stem for folder in folders for kind in _SHIPPED for p in folder.glob(kind))
    raise FileNotFoundError(
        f'there is no shipped config {model!r}; there are {", ".join(names)}, or pass a path'
    )


def config_classes(cfg: Config) -> ClassNames:
    """The config's prompts by the class names of its data set, if they are those of one."""
    prompts = cfg.model.text.class_names
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    kind = DATASETS.get(dataset.get('type', '')) if dataset else None
    meta = {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
    names = meta.get('classes', ())[1:]
    return dict(zip(names, prompts, strict=True)) if len(names) == len(prompts) else prompts


def check_config(cfg: Config) -> None:
    """Raise ValueError unless a config is one of a method without training."""
    found = {*cfg.keys(), *(f'model.{part}' for part in cfg.get('model') or {})}
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        raise ValueError(
            f'{cfg.filename or "the config"} is not a config of CLIP-ES or of ExCEL without '
            'training, such as configs/wsss/clip_es_voc.py and excel_free_voc.py: it has no '
            f'{", ".join(missing)}. A trained network needs its checkpoint (weights)'
        )
    if cfg.model.get('decode_head') is not None:
        raise ValueError(
            f'{cfg.filename or "the config"} has a decode_head, which is trained for certain '
            'classes: take one of CLIP-ES or of ExCEL without training (excel_free_*), whose '
            'classes are free, or give its checkpoint (weights)'
        )


def find_clip(checkpoint: Any) -> Path | None:
    """The file that ``model.backbone.checkpoint`` names; None for weights that are in no file."""
    if isinstance(checkpoint, Mapping) or str(checkpoint) == 'random':
        return None
    return find_clip_file(checkpoint)
