import pytest
import torch

from mmwsss.ops.pixels import crf_image

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
PIXELS = torch.arange(256.0).expand(3, 1, 256)


def normalised(mean, std):
    return (PIXELS - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_true_gives_every_value_back():
    image = crf_image(normalised(MEAN, STD), MEAN, STD)
    assert image.dtype == torch.uint8
    assert torch.equal(image, PIXELS.permute(1, 2, 0).byte())


def test_truncated_is_at_most_one_lower():
    image = crf_image(normalised(MEAN, STD), MEAN, STD, 'truncated')
    lower = PIXELS.permute(1, 2, 0) - image
    assert set(lower.unique().tolist()) == {0.0, 1.0}


def test_wrapped_bytes():
    mean = torch.tensor([104.008, 116.669, 122.675])
    image = crf_image(normalised(mean, torch.ones(3)), mean, torch.ones(3), 'wrapped')
    # 100 - 104.008 = -4.008 -> -4 -> 252; 110 - 104.008 = 5.992 -> 5; 104 - 104.008 -> 0
    assert [int(image[0, v, 0]) for v in (100, 104, 110)] == [252, 0, 5]


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind='rounded'"):
        crf_image(PIXELS, MEAN, STD, 'rounded')
