"""Official checkpoints of TransCAM and of AVC, which has its networks, in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import rename_keys

_RULES = (
    (r'conv_cls_head\.', 'decode_head.conv.'),
    (r'trans_cls_head\.', 'decode_head.linear.'),
    (r'(?:cls_token$|trans_norm\.|conv1\.|bn1\.|trans_patch_conv\.)', r'backbone.\g<0>'),
    (r'(?:conv_1|trans_1|conv_trans_\d+)\.', r'backbone.\g<0>'),
)


def convert_transcam(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of ``TransCAM.pth``, or of a file of AVC with the same keys.

    Args:
        official: State dict. Its classifiers may have the background as a first channel (21 in
            TransCAM's) or not: ``decode_head.background_channel`` of the config has to say so.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.TransCAM`.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, _RULES, what='TransCAM or AVC')
