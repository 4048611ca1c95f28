"""Official checkpoints of 1-Stage (visinf/1-stage-wseg) in our names."""

import re
from collections.abc import Mapping

from torch import Tensor

_BACKBONES = re.compile(
    r'(conv1a|b[2-7](_\d)?|bn7|conv[1-5]_[1-3]|fc[67]|conv1|bn1|layer[1-4]\.\d+)\.'
)
_DECODER = (
    (re.compile(r'aspp\.aspp(?P<branch>[1-4])\.atrous_conv\.'), 'aspp.branches.{}.0.'),
    (re.compile(r'aspp\.aspp(?P<branch>[1-4])\.bn\.'), 'aspp.branches.{}.1.'),
    (re.compile(r'aspp\.global_avg_pool\.1\.'), 'aspp.image_branch.0.'),
    (re.compile(r'aspp\.global_avg_pool\.2\.'), 'aspp.image_branch.1.'),
    (re.compile(r'aspp\.conv1\.'), 'aspp.project.0.'),
    (re.compile(r'aspp\.bn1\.'), 'aspp.project.1.'),
    (re.compile(r'shallow_mask\.fc_deep\.'), 'injection.cue.'),
    (re.compile(r'shallow_mask\.fc_skip\.'), 'injection.shallow.'),
    (re.compile(r'shallow_mask\.fc_cls\.'), 'injection.output.'),
    (re.compile(r'fc8_skip\.'), 'skip.'),
    (re.compile(r'fc8_x\.'), 'merge.'),
    (re.compile(r'last_conv\.'), 'last.'),
    (re.compile(r'fc8\.(?=weight$)'), 'classifier.'),
)
# the constant kernels of PAMR, and further names of the baseline's classifier and backbone
_DROPPED = re.compile(r'(_aff|cls_branch|mask_branch)\.')


def convert_one_stage(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official state dict, of any backbone, also of the CAM baseline.

    Args:
        official: ``model_enc_*.pth``.

    Returns:
        A state dict for :class:`OneStage`, or for :class:`CAMClassifier` (baseline).

    Raises:
        ValueError: If a key is unknown.
    """
    converted = {}
    for key, value in official.items():
        key = key.removeprefix('module.')
        if not _DROPPED.match(key):
            converted[_our_key(key)] = value
    return converted


def _our_key(key: str) -> str:
    if _BACKBONES.match(key):
        return f'backbone.{key}'
    for pattern, ours in _DECODER:
        match = pattern.match(key)
        if match:
            branch = match.groupdict().get('branch')
            prefix = ours.format(int(branch) - 1) if branch else ours
            return f'decode_head.{prefix}{key[match.end() :]}'
    raise ValueError(f'{key} is no key of an official 1-Stage checkpoint (model_enc_*.pth)')
