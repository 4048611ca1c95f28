"""Trained segmentation networks as ONNX: pixels in, scores or label map out."""

from __future__ import annotations

import copy
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..models.segmentors import WSSSSegmentor
from ..ops.resize import upsample
from ..registry import DATASETS, MODELS
from ..utils.checkpoint import load_checkpoint_file, state_in
from ..utils.checks import check_apart, check_choice, check_output_file, check_range, some
from ..utils.io import atomic_write

OUTPUTS = ('logits', 'labels')
INPUT = 'image: uint8 (B, 3, H, W), RGB pixels 0..255; normalisation is part of the network'
_TOLERANCE = 1e-3  # of the largest logit
_VIEWS = ('scales', 'sizes', 'flip', 'long_side', 'fit', 'crop', 'crf')


@dataclass(frozen=True)
class OnnxExport:
    """What was written.

    Attributes:
        path: The file.
        dynamic: Whether batch, height and width are free; otherwise they are those of the export.
        difference: Largest difference of a logit, ONNX Runtime against PyTorch.
        left_out: What ``test_cfg`` asks for beside the network: views, CRF.
        fixed_by: Why sizes are not free; empty if they are.
    """

    path: Path
    dynamic: bool
    difference: float
    left_out: tuple[str, ...]
    fixed_by: str = ''


class Deployed(nn.Module):
    """A segmentor as one function of pixels.

    Args:
        model: Built and loaded.
        labels: Give the label map in place of the logits.

    Raises:
        ValueError: The model is none that segments without image labels.
    """

    def __init__(self, model: nn.Module, labels: bool = False) -> None:
        super().__init__()
        name = type(model).__name__
        ours = isinstance(model, WSSSSegmentor)
        if not ours and not isinstance(model, EncoderDecoder):
            raise ValueError(f'{name} is no segmentor that can be exported')
        if ours and 'seg' not in model.settings.predict_choices:
            raise ValueError(
                f'{name} makes maps for given image labels and has no segmentation to export; '
                'train a network on its masks and export that'
            )
        self.model, self.labels, self._ours = model, labels, ours
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Pixels ``(B, 3, H, W)`` -> logits ``(B, C, H, W)``, or labels uint8 ``(B, H, W)``."""
        norm, x = self.model.data_preprocessor, image.float()
        if not norm._channel_conversion:  # the network was trained on BGR
            x = x.flip(1)
        if norm._enable_normalize:
            x = (x - norm.mean) / norm.std
        model, size = self.model, image.shape[-2:]
        if self._ours:
            logits = model.view_scores(x)
        else:
            logits = model.encode_decode(x, [dict(img_shape=size)])
        logits = upsample(logits.float(), size, model.align_corners)
        return logits.argmax(1).to(torch.uint8) if self.labels else logits


def export_onnx(
    cfg: Config,
    checkpoint: str | os.PathLike | None,
    out: str | os.PathLike,
    size: tuple[int, int] = (512, 512),
    opset: int = 17,
    output: str = 'logits',
) -> OnnxExport:
    """Write a trained network as ONNX, once ONNX Runtime gives what PyTorch gives.

    One view of the image is segmented at its size; what ``test_cfg`` adds (scales, mirror images,
    CRF) is left out. Class names and palette stand in the metadata, as JSON.

    Args:
        cfg: Of the network.
        checkpoint: Its weights; None: those it is built with.
        out: File to write.
        size: Height and width of the example; of all images if the network does not allow others.
        opset: Version of ONNX's operators, 16 to 20.
        output: ``'logits'`` or ``'labels'``, see :class:`Deployed`.

    Raises:
        FileNotFoundError: No checkpoint.
        ImportError: onnx or onnxruntime is missing.
        OSError: ``out`` cannot be written.
        ValueError: A number out of range; a model without segmentation; a checkpoint of another
            model or other classes; an operator that ONNX does not have, which is named with the
            module it stands in; a result that differs from PyTorch's.
    """
    check_choice('output', output, OUTPUTS)
    check_range('opset', opset, 16, 20, integer=True)
    for side in size:
        check_range('size', side, 32, integer=True)
    check_output_file(out)
    check_apart(
        {'the file to write': out}, {'the checkpoint': checkpoint, 'the config': cfg.filename}
    )
    onnx, runtime = _load_onnx()
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(copy.deepcopy(cfg.model))
    classes, palette = _classes(cfg)
    if checkpoint is not None:
        classes, palette = _load(model, checkpoint, classes, palette)
    deployed = Deployed(model, output == 'labels')
    meta = dict(
        classes=classes,
        palette=palette,
        input=INPUT,
        output=output,
        config=Path(cfg.filename or '').name,
    )
    with atomic_write(out) as tmp:
        fixed_by, difference = _write_checked(deployed, tmp, size, opset, runtime, len(classes))
        graph = onnx.load(tmp)
        meta = {key: v if isinstance(v, str) else json.dumps(v) for key, v in meta.items()}
        onnx.helper.set_model_props(graph, meta)
        onnx.checker.check_model(graph)
        onnx.save(graph, tmp)
    return OnnxExport(Path(out), not fixed_by, difference, _left_out(model), fixed_by)


def _load_onnx() -> tuple[ModuleType, ModuleType]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'exporting to ONNX needs onnx and onnxruntime ({error}): pip install "mmwsss[export]"'
        ) from error
    return onnx, onnxruntime


def _classes(cfg: Config) -> tuple[list[str], list]:
    """Class names and palette of the config's data set."""
    for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset') or {}
        kind = DATASETS.get(dataset.get('type', '')) if dataset.get('type') else None
        if hasattr(kind, 'METAINFO'):
            meta = kind._load_metainfo({**kind.METAINFO, **dataset.get('metainfo', {})})
            if not isinstance(meta.get('classes', ''), str):
                return list(meta['classes']), [list(c) for c in meta.get('palette') or []]
    raise ValueError('no data set of the config names its classes: set metainfo=dict(classes=...)')


def _load(
    model: nn.Module, path: str | os.PathLike, classes: list[str], palette: list
) -> tuple[list[str], list]:
    """Load a checkpoint strictly; class names and palette that it, else the config, knows."""
    content = load_checkpoint_file(path, 'cpu')
    state = state_in(content, path)
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f'checkpoint {path} does not fit the model of the config: {str(error)[:600]}'
        ) from error
    meta = content.get('meta') if isinstance(content.get('meta'), Mapping) else {}
    known = {k.lower(): v for k, v in (meta.get('dataset_meta') or {}).items()}
    theirs = known.get('classes')
    if theirs is not None and list(theirs) != classes:
        raise ValueError(
            f'checkpoint {path} was trained for other classes than those of the config: '
            f'{some(theirs)} and {some(classes)}'
        )
    return classes, [list(colour) for colour in known.get('palette') or palette]


def _write_checked(
    deployed: Deployed,
    path: Path,
    size: tuple[int, int],
    opset: int,
    runtime: ModuleType,
    num_classes: int,
) -> tuple[str, float]:
    """Export with free sizes, or with fixed ones where that fails; why, and the difference."""
    example = _pixels((1, 3, *size))
    with torch.no_grad():
        reference = Deployed(deployed.model)(example)
    if reference.shape[1] != num_classes:
        raise ValueError(
            f'{type(deployed.model).__name__} scores {reference.shape[1]} classes, the data set of '
            f'the config has {num_classes} with the background: if it is a classifier, train a '
            'network on its masks and export that'
        )
    others = [(2, 3, size[0] + 32, size[1]), (1, 3, size[0], size[1] + 48)]
    try:
        _trace(deployed, example, path, opset, dynamic=True)
        return '', _compare(deployed, path, [tuple(example.shape), *others], runtime)
    except ValueError as error:
        reason = str(error)
    _trace(deployed, example, path, opset, dynamic=False)
    return reason, _compare(deployed, path, [tuple(example.shape)], runtime)


def _trace(deployed: Deployed, example: Tensor, path: Path, opset: int, dynamic: bool) -> None:
    output = 'labels' if deployed.labels else 'logits'
    free = {0: 'batch', 2: 'height', 3: 'width'}
    free_output = {0: 'batch', 1: 'height', 2: 'width'} if deployed.labels else free
    with _entered(deployed) as modules, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the tracer; what it got wrong, the comparison finds
        try:
            torch.onnx.export(
                deployed,
                (example,),
                path,
                dynamo=False,  # the newer exporter takes minutes for small networks
                opset_version=opset,
                input_names=['image'],
                output_names=[output],
                dynamic_axes={'image': free, output: free_output} if dynamic else None,
            )
        except Exception as error:  # whatever a network's own code makes of tracing
            operator = re.search(r'(?:export of operator |aten::|onnx::)(\w+)', str(error))
            place = modules[-1] if modules else operator and _user(deployed, example, operator[1])
            name = operator and operator[0].removeprefix('export of operator ')
            raise ValueError(_explain(error, name, place)) from error


@contextmanager
def _entered(root: nn.Module) -> Iterator[list[str]]:
    """Names of the modules that run, the innermost last; those where an error happens stay."""
    names: list[str] = []

    def hook(name: str) -> tuple[Callable, Callable]:
        return lambda *_: names.append(name), lambda *_: names.pop() and None

    handles = []
    for name, module in root.named_modules():
        before, after = hook(f'{name or "network"} ({type(module).__name__})')
        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield names
    finally:
        for handle in handles:
            handle.remove()


def _user(deployed: Deployed, example: Tensor, operator: str) -> str | None:
    """The module that calls an operator first."""

    class Watch(TorchFunctionMode):
        found: str | None = None

        def __torch_function__(
            self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
        ) -> Any:
            if self.found is None and getattr(func, '__name__', '') == operator and modules:
                self.found = modules[-1]
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), _entered(deployed) as modules, Watch() as watch:
        deployed(example)
    return watch.found


def _explain(error: Exception, operator: str | None, place: str | None) -> str:
    place, reason = place or 'the network', f'{type(error).__name__}: {str(error)[:300]}'
    if operator is None:
        return f'{place} cannot be traced, which ONNX needs: {reason}. Export another network.'
    return (
        f'ONNX cannot express the operator {operator} in {place}: {reason}. Take another opset or '
        'size, or a network without it.'
    )


def _pixels(shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def _compare(
    deployed: Deployed, path: Path, shapes: Sequence[tuple[int, ...]], runtime: ModuleType
) -> float:
    """Largest difference on random images.

    Raises:
        ValueError: It is too large, or ONNX Runtime cannot run the graph.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        results = [session.run(None, {'image': _pixels(shape).numpy()})[0] for shape in shapes]
    except Exception as error:  # the classes of ONNX Runtime have no common base
        raise ValueError(f'ONNX Runtime cannot run the network: {str(error)[:300]}') from error
    largest = 0.0
    for shape, found in zip(shapes, results, strict=True):
        with torch.no_grad():
            logits = Deployed(deployed.model)(_pixels(shape))
        limit = _TOLERANCE * max(1e-6, float(logits.abs().max()))
        expected = deployed(_pixels(shape)).numpy()
        if found.shape != expected.shape:
            raise ValueError(f'ONNX Runtime gives {found.shape} in place of {expected.shape}')
        if deployed.labels:  # they may differ where two classes are as good as each other
            best = logits.topk(2, dim=1).values
            clear = (best[:, 0] - best[:, 1] > limit).numpy()
            difference = float((found != expected)[clear].any())
            limit = 0.5
        else:
            difference = float(np.abs(found - expected).max())
        if not difference <= limit:
            raise ValueError(
                f'ONNX Runtime differs from PyTorch by {difference:.3g} on an image of '
                f'{shape[2]}x{shape[3]}'
            )
        largest = max(largest, difference)
    return largest


def _left_out(model: nn.Module) -> tuple[str, ...]:
    given: Any = model.test_cfg or {}
    found = [f'test_cfg.{key}={given[key]!r}' for key in _VIEWS if given.get(key)]
    if given.get('pad', 'none') != 'none':
        found.append(f'test_cfg.pad={given["pad"]!r}')
    if given.get('mode', 'whole') != 'whole':
        found.append(f'test_cfg.mode={given["mode"]!r}')
    if getattr(model.data_preprocessor, 'test_cfg', None):
        found.append('data_preprocessor.test_cfg (padding)')
    return tuple(found)
