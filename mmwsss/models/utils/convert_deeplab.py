"""Checkpoints of the DeepLab retraining codes in our names."""

import re
from collections.abc import Mapping

from torch import Tensor

_VGG_STAGE_STARTS = (0, 3, 6, 10)  # index of the first convolution of the stages 1 to 4

_RENAMES = (
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
    (r'aspp\.c(\d)\.(weight|bias)$', r'decode_head.convs.\1.\2'),
    # VGG-16 and LargeFOV on ResNet-101: PengtaoJiang/L2G
    (r'(?:aspp|fov)\.conv6\.', 'decode_head.branches.0.fov.0.'),
    (r'(?:aspp|fov)\.conv7\.', 'decode_head.branches.0.fc.0.'),
    (r'(?:aspp|fov)\.conv8\.', 'decode_head.branches.0.cls.'),
    (r'aspp\.c(\d)\.0\.', r'decode_head.branches.\1.fov.0.'),
    (r'aspp\.c(\d)\.3\.', r'decode_head.branches.\1.fc.0.'),
    (r'aspp\.c(\d)\.6\.', r'decode_head.branches.\1.cls.'),
)
_BLOCK = re.compile(r'layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut)\.(conv|bn)\.')
_VGG = re.compile(r'layer([12])\.(\d+)\.0\.')
_UNITS = dict(reduce=('conv1', 'bn1'), conv3x3=('conv2', 'bn2'), increase=('conv3', 'bn3'))
_UNITS['shortcut'] = ('downsample.0', 'downsample.1')
_IMAGENET_CLASSIFIER = ('fc.weight', 'fc.bias')


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
        ValueError: If a key is unknown, or nothing of a backbone is there.
    """
    converted, unknown = {}, []
    for key, value in official.items():
        name = key.removeprefix('module.').removeprefix('base.')
        if name in _IMAGENET_CLASSIFIER:
            continue
        renamed = _rename(name)
        if renamed is None:
            unknown.append(key)
        else:
            converted[renamed] = value
    if unknown or not any(key.startswith('backbone.') for key in converted):
        raise ValueError(
            f'this is not a checkpoint of a known DeepLab code: {len(unknown)} of '
            f'{len(official)} keys are unknown: {", ".join(unknown[:5])}'
        )
    return converted


def _rename(key: str) -> str | None:
    block = _BLOCK.match(key)
    if block:
        stage, index, unit, kind = block.groups()
        part = _UNITS[unit][kind == 'bn']
        return f'backbone.layer{int(stage) - 1}.{int(index) - 1}.{part}.{key[block.end() :]}'
    vgg = _VGG.match(key)
    if vgg:
        return f'backbone.{_vgg_conv(vgg[1], int(vgg[2]))}.{key[vgg.end() :]}'
    for pattern, name in _RENAMES:
        if re.match(pattern, key):
            return re.sub(f'^{pattern}', name, key)
    return None


def _vgg_conv(layer: str, index: int) -> str:
    """``layer1.<index>`` counts the convolutions and pools of four stages, ``layer2`` is conv5."""
    if layer == '2':
        return f'conv5_{index + 1}'
    stage = sum(index >= start for start in _VGG_STAGE_STARTS)
    return f'conv{stage}_{index - _VGG_STAGE_STARTS[stage - 1] + 1}'
