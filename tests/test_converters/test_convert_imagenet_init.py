"""ImageNet weights of ResNet-38 and VGG-16, read without MXNet and Caffe."""

import struct

import numpy as np
import pytest
import torch

from mmwsss.converters.caffemodel import read_caffemodel
from mmwsss.converters.imagenet_init import (
    convert_resnet38_mxnet,
    convert_vgg16_caffe,
    read_backbone,
)
from mmwsss.converters.mxnet_params import read_params
from mmwsss.models.backbones.resnet38d import ResNet38d
from mmwsss.models.backbones.vgg16d import VGG16d

LEAVES = {
    'conv': {'weight': 'weight'},
    'bn': {
        'weight': 'gamma',
        'bias': 'beta',
        'running_mean': 'moving_mean',
        'running_var': 'moving_var',
    },
}


def mxnet_name(key: str) -> str:
    """``b3_1.bn_branch2a.running_var`` -> ``aux:bn3b1_branch2a_moving_var``."""
    *module, leaf = key.split('.')
    kind = 'bn' if module[-1].startswith('bn') else 'conv'
    leaf = LEAVES[kind][leaf]
    prefix = 'aux' if leaf.startswith('moving') else 'arg'
    if len(module) == 1:
        return f'{prefix}:{module[0]}_{leaf}'
    stage, _, number = module[0][1:].partition('_')
    block = f'{stage}b{number}' if number else f'{stage}a'
    branch = module[1].split('_')[1]
    return f'{prefix}:{"bn" if kind == "bn" else "res"}{block}_{branch}_{leaf}'


def params_file(arrays: dict[str, np.ndarray], age: int = 0) -> bytes:
    """MXNet's list format; ``age`` 0 is the oldest form of an array."""
    parts = [struct.pack('<QQQ', 0x112, 0, len(arrays))]
    for array in arrays.values():
        if age == 0:
            parts.append(struct.pack(f'<I{array.ndim}I', array.ndim, *array.shape))
        else:
            parts.append(struct.pack('<I', 0xF993FAC7 + age))
            parts.append(struct.pack('<i', 0) if age == 2 else b'')
            parts.append(struct.pack(f'<I{array.ndim}q', array.ndim, *array.shape))
        kind = {'float32': 0, 'int64': 6}[array.dtype.name]
        parts += [struct.pack('<3i', 1, 0, kind), array.tobytes()]
    parts.append(struct.pack('<Q', len(arrays)))
    parts += [struct.pack('<Q', len(name)) + name.encode() for name in arrays]
    return b''.join(parts)


def test_resnet38_of_mxnet(tmp_path):
    network = ResNet38d(base_channels=1)
    state = {k: v for k, v in network.state_dict().items() if 'num_batches' not in k}
    state = {k: torch.randn(v.shape) for k, v in state.items()}
    arrays = {mxnet_name(k): v.numpy() for k, v in state.items()}
    arrays['arg:linear1000_weight'] = np.zeros((1000, 64), np.float32)
    arrays['arg:linear1000_bias'] = np.zeros(1000, np.float32)
    path = tmp_path / 'ilsvrc.params'
    path.write_bytes(params_file(arrays))
    converted = convert_resnet38_mxnet(read_params(path))
    assert set(converted) == set(state)
    network.load_state_dict(converted, strict=False)
    assert all(torch.equal(converted[k], v) for k, v in state.items())


def test_names_of_the_official_converter():
    names = ['arg:conv1a_weight', 'arg:res3b1_branch2b1_weight', 'aux:bn6a_branch2b2_moving_var']
    names += ['arg:bn7_beta', 'arg:bn5a_branch2a_gamma']
    assert list(convert_resnet38_mxnet(dict.fromkeys(names))) == [
        'conv1a.weight',
        'b3_1.conv_branch2b1.weight',
        'b6.bn_branch2b2.running_var',
        'bn7.bias',
        'b5.bn_branch2a.weight',
    ]
    for strange in ('arg:res3b1_branch2a_gamma2', 'arg:stem_weight'):
        with pytest.raises(ValueError, match=strange):
            convert_resnet38_mxnet({strange: torch.zeros(1)})


@pytest.mark.parametrize('age', [0, 1, 2])
def test_every_age_of_the_array_format(tmp_path, age):
    arrays = {'arg:a': np.arange(6, dtype=np.float32).reshape(1, 2, 3), 'aux:b': np.arange(4)}
    path = tmp_path / 'x.params'
    path.write_bytes(params_file(arrays, age))
    read = read_params(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == torch.from_numpy(array).dtype
        np.testing.assert_array_equal(read[name], array)


def test_damaged_params_files(tmp_path):
    path = tmp_path / 'x.params'
    whole = params_file({'arg:a': np.ones((2, 3), np.float32)})
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r'x\.params'):
            read_params(path)
    path.write_bytes(b'PK' + bytes(100))
    with pytest.raises(ValueError, match='not an MXNet'):
        read_params(path)
    array = whole[24:-21]
    names = struct.pack('<Q', 2) + 2 * (struct.pack('<Q', 5) + b'arg:a')
    path.write_bytes(struct.pack('<QQQ', 0x112, 0, 2) + 2 * array + names)
    with pytest.raises(ValueError, match=r'x\.params: arrays given more than once: arg:a'):
        read_params(path)
    huge = struct.pack('<QQQ', 0x112, 0, 1) + struct.pack('<I2I3i', 2, 2**31, 2**31, 1, 0, 0)
    path.write_bytes(huge)
    with pytest.raises(ValueError, match='truncated'):
        read_params(path)


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = []
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def blob(array: np.ndarray, old: bool) -> bytes:
    if old:
        sides = [1] * (4 - array.ndim) + list(array.shape)
        shape = b''.join(field(i, side) for i, side in enumerate(sides, 1))
    else:
        shape = field(7, field(1, b''.join(map(varint, array.shape))))
    return shape + field(5, array.astype('<f4').tobytes())


@pytest.mark.parametrize('old', [True, False], ids=['V1LayerParameter', 'LayerParameter'])
def test_vgg16_of_caffe(tmp_path, old):
    network = VGG16d()
    layer, name, blobs = (2, 4, 6) if old else (100, 1, 7)
    parts = [field(1, b'VGG'), field(layer, field(name, b'data'))]
    expected = {}
    for key, value in network.state_dict().items():
        expected[key] = torch.randn(value.shape) if key.startswith('conv1') else value
    for key in [k for k in expected if k.endswith('weight')]:
        weight, bias = expected[key], expected[key.replace('weight', 'bias')]
        body = field(name, key.split('.')[0].encode())
        parts.append(
            field(
                layer, body + b''.join(field(blobs, blob(t.numpy(), old)) for t in (weight, bias))
            )
        )
    path = tmp_path / 'vgg16.caffemodel'
    path.write_bytes(b''.join(parts))
    converted = convert_vgg16_caffe(read_caffemodel(path))
    assert set(converted) == set(expected)
    assert all(torch.equal(converted[k], v) for k, v in expected.items())
    network.load_state_dict(converted, strict=True)
    path.write_bytes(b''.join(parts)[:-3])
    with pytest.raises(ValueError, match=r'vgg16\.caffemodel is truncated'):
        read_caffemodel(path)
    with pytest.raises(ValueError, match=r'of VGG-16 \(Caffe\): no weight and bias of conv1_1'):
        convert_vgg16_caffe({})


def test_damaged_caffemodels(tmp_path):
    path = tmp_path / 'x.caffemodel'
    weights = field(7, blob(np.ones((1, 2), np.float32), False))
    layer = field(100, field(1, b'fc6') + weights)
    path.write_bytes(layer)
    assert list(read_caffemodel(path)) == ['fc6']
    path.write_bytes(layer + layer)
    with pytest.raises(ValueError, match=r'x\.caffemodel: layers given more than once: fc6'):
        read_caffemodel(path)
    strange_dims = field(7, field(7, field(1, varint(2**70))) + field(5, b'0000'))
    for body in (field(1, 2**62) + weights, field(1, b'\xff') + weights, strange_dims):
        path.write_bytes(field(100, body))
        with pytest.raises(ValueError, match=r'x\.caffemodel is truncated or not'):
            read_caffemodel(path)


def test_file_of_every_format_by_its_suffix(tmp_path):
    arrays = {'arg:conv1a_weight': np.ones((1, 2), np.float32)}
    for name in ('x.params', 'x.PARAMS'):
        (tmp_path / name).write_bytes(params_file(arrays))
        assert list(read_backbone(tmp_path / name)) == ['conv1a.weight']
    (tmp_path / 'strange.params').write_bytes(params_file({'arg:x': arrays['arg:conv1a_weight']}))
    with pytest.raises(ValueError, match=r'strange\.params: .*ResNet-38.*unknown: arg:x'):
        read_backbone(tmp_path / 'strange.params')
    (tmp_path / 'x.caffemodel').write_bytes(params_file(arrays))
    with pytest.raises(ValueError, match=r'x\.caffemodel is'):
        read_backbone(tmp_path / 'x.caffemodel')
    torch.save({'conv1a.weight': torch.ones(2), 'fc8.weight': torch.ones(3)}, tmp_path / 'x.pth')
    assert list(read_backbone(tmp_path / 'x.pth')) == ['conv1a.weight']
