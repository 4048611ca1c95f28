"""Official checkpoints of IRN's classifier in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import not_of, rename_keys

_RULES = (
    (r'resnet50\.', 'backbone.'),
    (r'classifier\.(?=weight$)', 'decode_head.classifier.'),
)
# IRN registers every module under up to three names; the ImageNet classifier is not used
_DROPPED = (r'(stage[1-5]|backbone|newly_added)\..*', r'resnet50\.fc\..*')


def convert_irn_resnet50(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of IRN's ``res50_cam.pth``; the aliases of its tensors are left out.

    Returns:
        A state dict for :class:`CAMClassifier`.

    Raises:
        ValueError: A key is unknown, or the network or its classifier is missing.
    """
    what = 'IRN (ResNet-50 CAM)'
    converted = rename_keys(official, _RULES, _DROPPED, what)
    if not {'backbone.conv1.weight', 'decode_head.classifier.weight'} <= set(converted):
        raise not_of(what, 'resnet50.conv1.weight or classifier.weight is missing')
    return converted
