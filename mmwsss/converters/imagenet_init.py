"""ImageNet weights of ResNet-38 and VGG-16, from MXNet, Caffe and PSA, in our names."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from .caffemodel import read_caffemodel
from .mxnet_params import read_params
from .psa import convert_psa
from .rename import not_of, rename_keys
from .state import convert_file, read_state

_LEAVES = {
    'weight': 'weight',
    'gamma': 'weight',
    'beta': 'bias',
    'moving_mean': 'running_mean',
    'moving_var': 'running_var',
}
_LEAF = f'_({"|".join(_LEAVES)})$'
_KIND = '(?:arg:|aux:)?'


def _unit(match: re.Match) -> str:
    """``bn5a_branch2b1_gamma`` -> ``b5.bn_branch2b1.weight``; ``res3b1_...`` is block ``b3_1``."""
    kind, stage, number, branch, leaf = match.groups()
    block = f'b{stage}_{number}' if number else f'b{stage}'
    return f'{block}.{"conv" if kind == "res" else "bn"}_{branch}.{_LEAVES[leaf]}'


_RESNET38 = (
    (f'{_KIND}(conv1a|bn7){_LEAF}', lambda match: f'{match[1]}.{_LEAVES[match[2]]}'),
    (rf'{_KIND}(res|bn)(\d)(?:a|b(\d+))_(branch[^_]+){_LEAF}', _unit),
)
_VGG16_DEPTHS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
_VGG16 = [f'conv{stage}_{i + 1}' for stage, depth in _VGG16_DEPTHS.items() for i in range(depth)]
_VGG16 += ['fc6', 'fc7']


def convert_resnet38_mxnet(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the arrays of ``ilsvrc-cls_rna-a1_cls1000_ep-0001.params``.

    ``arg:res3b1_branch2a_weight`` is ``b3_1.conv_branch2a.weight``,
    ``aux:bn5a_branch2b1_moving_var`` is ``b5.bn_branch2b1.running_var``; the ImageNet classifier
    is left out.

    Args:
        arrays: As :func:`mmwsss.converters.mxnet_params.read_params` gives them.

    Returns:
        A state dict of :class:`ResNet38d`, without prefix.

    Raises:
        ValueError: A name is unknown.
    """
    what = 'ResNet-38 (rna-a1, MXNet)'
    return rename_keys(arrays, _RESNET38, [f'{_KIND}linear1000_.*'], what)


def convert_vgg16_caffe(blobs: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Name the blobs of ``vgg16_20M.caffemodel`` (VGG-16 with a convolutional fc6 and fc7).

    Args:
        blobs: Weight and bias of every layer
            (:func:`mmwsss.converters.caffemodel.read_caffemodel`).

    Returns:
        A state dict of :class:`VGG16d`, without prefix; the classifier is left out.

    Raises:
        ValueError: A layer of VGG-16 is missing.
    """
    missing = [layer for layer in _VGG16 if len(blobs.get(layer, ())) != 2]
    if missing:
        raise not_of('VGG-16 (Caffe)', f'no weight and bias of {", ".join(missing)}')
    converted = {}
    for layer in _VGG16:
        weight, bias = blobs[layer]
        converted[f'{layer}.weight'], converted[f'{layer}.bias'] = weight, bias.flatten()
    return converted


def read_backbone(path: str | os.PathLike) -> dict[str, Tensor]:
    """Weights of a backbone without prefix: ``.params``, ``.caffemodel``, or PSA's key names.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is damaged or holds something else; named in the message.
    """
    read, convert = _FORMATS.get(Path(path).suffix.lower(), (read_state, _psa_backbone))
    return convert_file(path, convert, read)


def _psa_backbone(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return rename_keys(convert_psa(official), [(r'backbone\.', '')], [r'decode_head\..*'], 'PSA')


_FORMATS = {
    '.params': (read_params, convert_resnet38_mxnet),
    '.caffemodel': (read_caffemodel, convert_vgg16_caffe),
}
