import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.ops.resize import resize_label


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
