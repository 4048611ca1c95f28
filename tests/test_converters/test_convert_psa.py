"""Official checkpoints of PSA and IRN in our names."""

import pytest
import torch

from mmwsss.converters.irn import convert_irn_resnet50
from mmwsss.converters.psa import convert_psa


def test_psa_keys():
    keys = ['module.conv1a.weight', 'b4_5.bn_branch2a.running_var', 'bn7.bias', 'fc8.weight']
    keys += ['conv5_3.bias', 'fc6.weight', 'f8_3.weight', 'gn8_5.bias', 'f9.weight']
    assert list(convert_psa(dict.fromkeys(keys))) == [
        'backbone.conv1a.weight',
        'backbone.b4_5.bn_branch2a.running_var',
        'backbone.bn7.bias',
        'decode_head.classifier.weight',
        'backbone.conv5_3.bias',
        'backbone.fc6.weight',
        'decode_head.f8_3.weight',
        'decode_head.gn8_5.bias',
        'decode_head.f9.weight',
    ]
    for strange in ('fc9.weight', 'fc8.bias', 'layer1.0.conv1.weight'):
        with pytest.raises(ValueError, match=strange):
            convert_psa({strange: torch.zeros(1)})


def test_irn_aliases_are_left_out():
    keys = ['resnet50.conv1.weight', 'resnet50.layer1.0.bn1.bias', 'resnet50.fc.weight']
    keys += ['stage1.0.weight', 'backbone.0.0.weight', 'newly_added.0.weight', 'classifier.weight']
    assert list(convert_irn_resnet50(dict.fromkeys(keys))) == [
        'backbone.conv1.weight',
        'backbone.layer1.0.bn1.bias',
        'decode_head.classifier.weight',
    ]
    with pytest.raises(ValueError, match=r'classifier\.weight is missing'):
        convert_irn_resnet50({'resnet50.conv1.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='edge1'):
        convert_irn_resnet50({'edge1.0.weight': torch.zeros(1)})
