"""Checkpoints of the DeepLab retraining codes in our names."""

import re
from collections.abc import Mapping

from torch import Tensor

from .rename import not_of, prefixed, rename_keys

_VGG_STAGE_STARTS = (0, 3, 6, 10)  # index of the first convolution of the stages 1 to 4
_UNITS = {
    'reduce': ('conv1', 'bn1'),
    'conv3x3': ('conv2', 'bn2'),
    'increase': ('conv3', 'bn3'),
    'shortcut': ('downsample.0', 'downsample.1'),
}


def _block(match: re.Match) -> str:
    stage, index, unit, kind = match.groups()
    return f'backbone.layer{int(stage) - 1}.{int(index) - 1}.{_UNITS[unit][kind == "bn"]}.'


def _vgg_conv(match: re.Match) -> str:
    """``layer1.<index>`` counts the convolutions and pools of four stages, ``layer2`` is conv5."""
    index = int(match[2])
    if match[1] == '2':
        return f'backbone.conv5_{index + 1}.'
    stage = sum(index >= start for start in _VGG_STAGE_STARTS)
    return f'backbone.conv{stage}_{index - _VGG_STAGE_STARTS[stage - 1] + 1}.'


_RULES = (
    # ResNet-38: YudeWang/semantic-segmentation-codebase, and MCTformer without the prefix
    (r'(?:backbone\.)?((?:conv1a|b\d(?:_\d)?|bn7)\.)', r'backbone.\1'),
    (r'conv_fov\.', 'decode_head.branches.0.fov.0.'),
    (r'bn_fov\.', 'decode_head.branches.0.fov.1.'),
    (r'conv_fov2\.', 'decode_head.branches.0.fc.0.'),
    (r'bn_fov2\.', 'decode_head.branches.0.fc.1.'),
    (r'cls_conv\.', 'decode_head.branches.0.cls.'),
    (r'fc8_seg_conv([12])\.', r'decode_head.conv\1.'),
    # ResNet-101: kazuto1011/deeplab-pytorch
    (r'layer1\.conv1\.conv\.', 'backbone.conv1.'),
    (r'layer1\.conv1\.bn\.', 'backbone.bn1.'),
    (r'layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut)\.(conv|bn)\.', _block),
    (r'aspp\.c(\d)\.(weight|bias)$', r'decode_head.convs.\1.\2'),
    # VGG-16 and LargeFOV on ResNet-101: PengtaoJiang/L2G
    (r'layer([12])\.(\d+)\.0\.', _vgg_conv),
    (r'(?:aspp|fov)\.conv6\.', 'decode_head.branches.0.fov.0.'),
    (r'(?:aspp|fov)\.conv7\.', 'decode_head.branches.0.fc.0.'),
    (r'(?:aspp|fov)\.conv8\.', 'decode_head.branches.0.cls.'),
    (r'aspp\.c(\d)\.0\.', r'decode_head.branches.\1.fov.0.'),
    (r'aspp\.c(\d)\.3\.', r'decode_head.branches.\1.fc.0.'),
    (r'aspp\.c(\d)\.6\.', r'decode_head.branches.\1.cls.'),
)
_BASE = r'(?:base\.)?'


def convert_deeplab(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official DeepLab state dict.

    Known are DeepLabV1 on ResNet-38 (SEAM's retraining), MCTformer's segmentation network,
    DeepLabV2 on ResNet-101 (deeplab-pytorch, its ImageNet and COCO initialisations included),
    and L2G's DeepLabs on VGG-16 and ResNet-101. The classifier of an ImageNet initialisation is
    left out.

    Args:
        official: ``model.state_dict()`` of the official code.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.DeepLab`; of an initialisation file
        the ``backbone.*`` part of one.

    Raises:
        ValueError: A key is unknown, or nothing of a backbone is there.
    """
    what = 'a known DeepLab code'
    classifier = [rf'{_BASE}fc\.(weight|bias)']
    converted = rename_keys(official, prefixed(_RULES, _BASE, ''), classifier, what)
    if not any(name.startswith('backbone.') for name in converted):
        raise not_of(what, 'nothing of a backbone is in it')
    return converted
