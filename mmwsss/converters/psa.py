"""Official checkpoints of PSA in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import rename_keys

_RULES = (
    (r'(?:conv1a|b[2-7](?:_\d)?|bn7|conv[1-5]_[1-3]|fc[67])\.', r'backbone.\g<0>'),
    (r'fc8\.(?=weight$)', 'decode_head.classifier.'),
    (r'(?:f8_[345]|f9|gn8_[345])\.', r'decode_head.\g<0>'),
)


def convert_psa(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official PSA state dict: classifier or AffinityNet, both backbones.

    Args:
        official: ``res38_cls.pth``, ``vgg16_cls.pth``, ``res38_aff.pth``, ``vgg16_aff.pth`` (and
            SEAM's and MCTformer's files of the same names).

    Returns:
        A state dict for :class:`CAMClassifier` or :class:`AffinityNet`.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, _RULES, what='PSA')
