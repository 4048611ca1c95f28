"""ScaleNet and Res2Net: strides, small images, what is frozen."""

import pytest
import torch

from mmwsss.models import Res2NetV1b, ScaleNet
from mmwsss.models.backbones.scalenet import ScaleBlock, _pooled, _resized

WIDTHS = (((5, 2, 1, 1),), ((6, 0, 2, 0),), ((7, 2, 0, 3), (4, 0, 0, 1)), ((5, 2, 1, 1),))


def small_scalenet(**changes) -> ScaleNet:
    torch.manual_seed(0)
    return ScaleNet(WIDTHS, base_channels=8, **changes)


def small_res2net(**changes) -> Res2NetV1b:
    torch.manual_seed(0)
    return Res2NetV1b(50, base_channels=8, base_width=16, **changes)


@pytest.mark.parametrize('build', [small_scalenet, small_res2net])
@pytest.mark.parametrize('size', [(64, 48), (33, 57), (9, 40), (40, 9)])
def test_stride_8_at_any_size(build, size):
    """Also maps that are smaller than a pooling window, high or wide."""
    with torch.no_grad():
        maps = build().eval()(torch.randn(1, 3, *size))
    assert [m.shape[1] for m in maps] == [32, 64, 128, 256]
    assert all(m.isfinite().all() for m in maps)
    height, width = size
    if min(size) > 16:
        assert maps[0].shape[-2:] == (-(-height // 4), -(-width // 4))
        assert {m.shape[-2:] for m in maps[1:]} == {maps[3].shape[-2:]}


@pytest.mark.parametrize('build', [small_scalenet, small_res2net])
def test_frozen_parts_and_norms(build):
    model = build(frozen_stages=1, norm_eval=True, norm_frozen=True).train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith(('layer2', 'layer3', 'layer4')) for name in trained)
    assert trained and not any('bn' in name or 'downsample.2' in name for name in trained)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    free = build().train()
    assert all(p.requires_grad for p in free.parameters())
    assert all(m.training for m in free.modules())


def test_branches_see_their_scale():
    block = ScaleBlock(8, 4, 8, (2, 0, 0, 3), side=7)
    assert list(block.conv2) == ['0', '3']
    assert block.conv2['0'].kernel_size == (3, 3) and block.conv2['3'].kernel_size == (1, 1)
    x = torch.arange(9.0).view(1, 1, 1, 9)
    assert _pooled(x, 2).flatten().tolist() == [1, 3, 5, 7]  # the last column is cut off
    assert _pooled(x, 7).flatten().tolist() == [6]
    few = torch.tensor([[[[0.0, 1.0]]]])
    assert _resized(few, (2, 4))[0, 0, 0].tolist() == [0, 0, 1, 1]  # nearest: a multiple
    assert _resized(few, (1, 3))[0, 0, 0].tolist() == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(widths=(((1, 1, 1, 1),),) * 3), 'four stages'),
        (dict(widths=(((0, 0, 0, 0),),) * 4), 'at least one'),
        (dict(strides=(1, 2)), 'strides must be a list of length 4'),
        (dict(out_indices=(4,)), 'out_indices'),
        (dict(frozen_stages=5), 'frozen_stages'),
    ],
)
def test_scalenet_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScaleNet(**{'widths': WIDTHS, **arguments})


def test_res2net_refuses():
    for wrong in (dict(depth=18), dict(scale=1), dict(dilations=(1,))):
        with pytest.raises(ValueError):
            Res2NetV1b(**wrong)
