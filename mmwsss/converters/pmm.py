"""Official checkpoints of PMM in our names: classifiers, segmentation networks, initial weights."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ..datasets.converters.mask_import import COCO_IDS
from .rename import not_of, rename_keys
from .state import read_state

_BACKBONE = r'(?:conv1a|b[2-7](?:_\d)?|bn7|conv1|bn1|layer[1-4]\.\d+)\.'
_CLASSIFIER = (
    (_BACKBONE, r'backbone.\g<0>'),
    (r'(?:fc8|f8_[34]|f9)\.(?=weight$)', r'decode_head.\g<0>'),
)
_UNIT = r'(?:conv|bn)\.'
_SEGMENTER = (
    (rf'backbone\.{_BACKBONE}', r'\g<0>'),
    (rf'decode_head\.psp_modules\.\d\.1\.{_UNIT}', r'\g<0>'),
    (rf'decode_head\.bottleneck\.{_UNIT}', r'\g<0>'),
    (rf'auxiliary_head\.convs\.0\.{_UNIT}', r'\g<0>'),
    (r'(?:decode|auxiliary)_head\.conv_seg\.', r'\g<0>'),
)
_IMAGENET = [r'fc\.(weight|bias)']
_PER_CLASS = r'fc8.weight', r'conv_seg.weight', r'conv_seg.bias'
_RAW_IDS = 91  # of COCO, background included; ten never occur


read_classifier = partial(read_state, part='main')
"""State dict of a file, which may hold it deeper inside, as some of ResNet-38 do."""


def convert_pmm_classifier(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of SEAM's classifier on ResNet-38 or ScaleNet-101, as PMM has it.

    Of the 91 channels of the classifier on COCO, the 81 that stand for something are kept.

    Args:
        official: ``voc12_wr38.pth``, ``*_s101_mc.pth``, SEAM's ``resnet38_SEAM.pth``.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.SEAM`.

    Raises:
        ValueError: A key is unknown.
    """
    what = "PMM's classifier"
    return _contiguous(rename_keys(official, _CLASSIFIER, what=what))


def convert_pmm(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Check the keys of PMM's PSPNet, which are ours; 91 classes of COCO become 81.

    Args:
        official: Checkpoint of WSSS_MMSeg with any of the three backbones.

    Returns:
        A state dict for PSPNet in :class:`mmwsss.models.segmentors.DeepLab`.

    Raises:
        ValueError: A key is unknown.
    """
    return _contiguous(rename_keys(official, _SEGMENTER, what="PMM's PSPNet"))


def convert_pmm_backbone(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ImageNet weights of ScaleNet-101 or Res2Net-101 v1b without their classifier.

    Args:
        official: ``scalenet101.pth`` or ``res2net101_v1b_26w_4s-0812c246.pth``.

    Returns:
        A state dict of :class:`ScaleNet` or :class:`Res2NetV1b`, without prefix.

    Raises:
        ValueError: A key is unknown.
    """
    what = 'ScaleNet or Res2Net'
    return rename_keys(official, [(_BACKBONE, r'\g<0>')], _IMAGENET, what)


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows of the classes that occur, where they are those of raw category ids."""
    keep = torch.tensor([0, *COCO_IDS])
    classified = {key: value for key, value in state.items() if key.endswith(_PER_CLASS)}
    counts = {len(value) for value in classified.values()}
    if len(counts) > 1:
        raise not_of('PMM', f'its layers have different numbers of classes: {sorted(counts)}')
    if counts == {_RAW_IDS}:
        state = {**state, **{key: value[keep] for key, value in classified.items()}}
    return state
