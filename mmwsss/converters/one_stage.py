"""Official checkpoints of 1-Stage (visinf/1-stage-wseg) in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import from_zero, rename_keys

_BACKBONES = r'(?:conv1a|b[2-7](?:_\d)?|bn7|conv[1-5]_[1-3]|fc[67]|conv1|bn1|layer[1-4]\.\d+)\.'
_RULES = (
    (_BACKBONES, r'backbone.\g<0>'),
    (r'aspp\.aspp([1-4])\.atrous_conv\.', from_zero('decode_head.aspp.branches.{}.0.')),
    (r'aspp\.aspp([1-4])\.bn\.', from_zero('decode_head.aspp.branches.{}.1.')),
    (r'aspp\.global_avg_pool\.1\.', 'decode_head.aspp.image_branch.0.'),
    (r'aspp\.global_avg_pool\.2\.', 'decode_head.aspp.image_branch.1.'),
    (r'aspp\.conv1\.', 'decode_head.aspp.project.0.'),
    (r'aspp\.bn1\.', 'decode_head.aspp.project.1.'),
    (r'shallow_mask\.fc_deep\.', 'decode_head.injection.cue.'),
    (r'shallow_mask\.fc_skip\.', 'decode_head.injection.shallow.'),
    (r'shallow_mask\.fc_cls\.', 'decode_head.injection.output.'),
    (r'fc8_skip\.', 'decode_head.skip.'),
    (r'fc8_x\.', 'decode_head.merge.'),
    (r'last_conv\.', 'decode_head.last.'),
    (r'fc8\.(?=weight$)', 'decode_head.classifier.'),
)
# the constant kernels of PAMR, and further names of the baseline's classifier and backbone
_DROPPED = (r'(_aff|cls_branch|mask_branch)\..*',)


def convert_one_stage(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official state dict, of any backbone, also of the CAM baseline.

    Args:
        official: ``model_enc_*.pth``.

    Returns:
        A state dict for :class:`OneStage`, or for :class:`CAMClassifier` (baseline).

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, _RULES, _DROPPED, '1-Stage (model_enc_*.pth)')
