import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.ops.resize import reduce_maps, resize_label, upsample


@pytest.mark.parametrize('old', [1, 2, 13, 41, 48, 65, 97, 321, 449])
def test_equals_pillow_at_every_size(old):
    line = np.arange(old, dtype=np.int32)[None]
    for new in range(1, 100):
        expected = np.array(Image.fromarray(line).resize((new, 1), Image.NEAREST))
        ours = resize_label(torch.from_numpy(line)[None], (1, new))[0]
        np.testing.assert_array_equal(ours, expected, err_msg=f'{old} -> {new}')


def test_both_axes_and_the_type():
    label = torch.arange(2 * 5 * 7, dtype=torch.uint8).view(2, 1, 5, 7)
    resized = resize_label(label, (3, 4))
    assert resized.dtype == torch.uint8
    expected = [
        np.array(Image.fromarray(m.numpy()).resize((4, 3), Image.NEAREST)) for m in label[:, 0]
    ]
    np.testing.assert_array_equal(resized[:, 0], np.stack(expected))


def test_reduced_maps_are_averages():
    maps = torch.arange(24.0).view(1, 4, 6)
    assert reduce_maps(maps, 2).tolist() == [[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]]
    assert torch.equal(reduce_maps(maps, 1), maps)
    assert reduce_maps(torch.rand(2, 9, 10), 4).shape == (2, 3, 3)
    assert reduce_maps(torch.zeros(0, 9, 10), 4).shape == (0, 3, 3)


def test_a_reduced_ramp_comes_back():
    """Averages and bilinear upsampling agree on where a cell lies."""
    ramp = torch.linspace(0, 1, 40).expand(1, 32, 40)
    back = upsample(reduce_maps(ramp, 4), (32, 40))
    torch.testing.assert_close(back[..., 2:-2], ramp[..., 2:-2])
