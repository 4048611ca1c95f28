"""EfficientNet-Lite0 in timm's names; the real file is in ``test_models/test_real_weights.py``."""

import pytest
import timm
import torch

from mmwsss.converters.efficientnet import convert_efficientnet_lite0

REPEATS = (1, 2, 2, 3, 3, 4, 1)


def names_of_the_port() -> dict[str, str]:
    """Name there of every layer here, block by block."""
    names = {'conv_stem': '_conv_stem', 'bn1': '_bn0', 'conv_head': '_conv_head', 'bn2': '_bn1'}
    names['classifier'] = '_fc'
    number = 0
    for stage, repeats in enumerate(REPEATS):
        for i in range(repeats):
            ours = ['conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3']
            theirs = ['expand_conv', 'bn0', 'depthwise_conv', 'bn1', 'project_conv', 'bn2']
            if stage == 0:
                ours, theirs = ['conv_dw', 'bn1', 'conv_pw', 'bn2'], theirs[2:]
            for a, b in zip(ours, theirs, strict=True):
                names[f'blocks.{stage}.{i}.{a}'] = f'_blocks.{number}._{b}'
            number += 1
    return names


def test_every_tensor_of_timms_network_is_found():
    with torch.device('meta'):
        state = timm.create_model('tf_efficientnet_lite0').state_dict()
    names = names_of_the_port()
    split = [key.rpartition('.') for key in state]
    foreign = {f'{names[layer]}.{leaf}': f'{layer}.{leaf}' for layer, _, leaf in split}
    assert len(foreign) == len(state)
    converted = convert_efficientnet_lite0(foreign)
    assert all(key == value for key, value in converted.items()) and set(converted) == set(state)


@pytest.mark.parametrize('key', ['_blocks.16._bn1.bias', '_blocks.0._bn0.bias', 'conv_stem.weight'])
def test_unknown_key(key):
    with pytest.raises(ValueError, match=rf'EfficientNet-Lite0: 1 of 1 keys are unknown: {key}'):
        convert_efficientnet_lite0({key: None})
