"""Official checkpoints of the CAM classifiers (PSA, IRN) in our names."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

_PSA = (
    (re.compile(r'(conv1a|b[2-7](_\d)?|bn7|conv[1-5]_[1-3]|fc[67])\.'), 'backbone.'),
    (re.compile(r'fc8\.(?=weight$)'), 'decode_head.classifier.'),
    (re.compile(r'(f8_[345]|f9|gn8_[345])\.'), 'decode_head.'),
)
_IRN = (
    (re.compile(r'resnet50\.(?!fc\.)'), 'backbone.'),
    (re.compile(r'classifier\.(?=weight$)'), 'decode_head.classifier.'),
)
# IRN registers every module under up to three names
_IRN_ALIASES = re.compile(r'(stage[1-5]|backbone|newly_added)\.|resnet50\.fc\.')


def convert_psa(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official PSA state dict: classifier or AffinityNet, both backbones.

    Args:
        official: ``res38_cls.pth``, ``vgg16_cls.pth``, ``res38_aff.pth``, ``vgg16_aff.pth`` (and
            SEAM's and MCTformer's files of the same names).

    Returns:
        A state dict for :class:`CAMClassifier` or :class:`AffinityNet`.

    Raises:
        ValueError: If a key is unknown.
    """
    converted = {}
    for key, value in _without_module(official).items():
        for pattern, prefix in _PSA:
            match = pattern.match(key)
            if match:
                rest = key[match.end() :] if prefix.endswith('classifier.') else key
                converted[prefix + rest] = value
                break
        else:
            _refuse(key, 'PSA')
    return converted


def convert_irn_resnet50(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of IRN's ``res50_cam.pth``; the aliases of its tensors are left out.

    Raises:
        ValueError: If a key is unknown or the network or its classifier is missing.
    """
    converted = {}
    for key, value in _without_module(official).items():
        if _IRN_ALIASES.match(key):
            continue
        for pattern, prefix in _IRN:
            match = pattern.match(key)
            if match:
                converted[prefix + key[match.end() :]] = value
                break
        else:
            _refuse(key, 'IRN (ResNet-50 CAM)')
    if not {'backbone.conv1.weight', 'decode_head.classifier.weight'} <= set(converted):
        raise ValueError(
            'this is no ResNet-50 CAM checkpoint of IRN: resnet50.conv1.weight or '
            'classifier.weight is missing'
        )
    return converted


def convert_resnet38_mxnet(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the arrays of ``ilsvrc-cls_rna-a1_cls1000_ep-0001.params``.

    ``arg:res3b1_branch2a_weight`` is ``b3_1.conv_branch2a.weight``,
    ``aux:bn5a_branch2b1_moving_var`` is ``b5.bn_branch2b1.running_var``; the ImageNet classifier
    is left out.

    Args:
        arrays: As :func:`mmwsss.models.utils.mxnet_params.read_params` gives them.

    Returns:
        A state dict of :class:`ResNet38d`, without prefix.

    Raises:
        ValueError: If a name is unknown.
    """
    converted = {}
    for name, value in arrays.items():
        tokens = name.split(':', 1)[-1].split('_')
        if tokens[0] == 'linear1000':
            continue
        block = re.fullmatch(r'(res|bn)(\d)(?:a|b(\d+))', tokens[0])
        if tokens[0] == 'conv1a':
            module = 'conv1a'
        elif tokens[0] == 'bn7':
            module = 'bn7'
        elif block:
            kind, stage, number = block.groups()
            module = f'b{stage}' + (f'_{number}' if number else '')
            module += f'.{"conv" if kind == "res" else "bn"}_{tokens[1]}'
        else:
            _refuse(name, 'ResNet-38 (rna-a1, MXNet)')
        if tokens[-1] not in _MXNET_LEAVES:
            _refuse(name, 'ResNet-38 (rna-a1, MXNet)')
        converted[f'{module}.{_MXNET_LEAVES[tokens[-1]]}'] = value
    return converted


_MXNET_LEAVES = {
    'weight': 'weight',
    'gamma': 'weight',
    'beta': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}


def convert_vgg16_caffe(blobs: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Name the blobs of ``vgg16_20M.caffemodel`` (VGG-16 with a convolutional fc6 and fc7).

    Args:
        blobs: Weight and bias of every layer
            (:func:`mmwsss.models.utils.caffemodel.read_caffemodel`).

    Returns:
        A state dict of :class:`VGG16d`, without prefix; the classifier is left out.

    Raises:
        ValueError: If a layer of VGG-16 is missing.
    """
    depths = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    layers = [f'conv{s}_{i}' for s, n in depths.items() for i in range(1, n + 1)] + ['fc6', 'fc7']
    missing = [layer for layer in layers if len(blobs.get(layer, ())) != 2]
    if missing:
        raise ValueError(f'this is no VGG-16: no weight and bias of {", ".join(missing)}')
    converted = {}
    for layer in layers:
        weight, bias = blobs[layer]
        converted[f'{layer}.weight'], converted[f'{layer}.bias'] = weight, bias.flatten()
    return converted


def _without_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix('module.'): v for k, v in state.items()}


def _refuse(key: str, what: str) -> None:
    raise ValueError(f'{key} is no key of an official {what} checkpoint')
