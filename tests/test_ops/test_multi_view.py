import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmwsss.ops.multi_view import (
    make_resize,
    mean_of_views,
    merge_logits,
    pair_means,
    resize_long_side,
    view_batches,
    view_maps,
)


def pool(image):
    return F.avg_pool2d(image, 4)


def test_a_mirror_symmetric_network_gives_the_same_with_flip():
    image = torch.rand(2, 3, 16, 24)
    merged = mean_of_views(pool, image, (1.0,), flip=True)
    torch.testing.assert_close(merged, pool(image))


def test_scales_are_averaged_on_the_grid_of_the_first():
    image = torch.rand(1, 3, 16, 24)
    half = pool(F.interpolate(image, scale_factor=0.5, mode='bilinear'))
    half = F.interpolate(half, size=(4, 6), mode='bilinear')
    merged = mean_of_views(pool, image, (1.0, 0.5), flip=False)
    torch.testing.assert_close(merged, (pool(image) + half) / 2)


def test_long_side():
    assert resize_long_side(torch.rand(1, 3, 375, 500), 512).shape == (1, 3, 384, 512)
    assert resize_long_side(torch.rand(1, 3, 101, 70), 112).shape == (1, 3, 112, 77)


NAMES = ('factor', 'floor', 'corners', 'cv2_cubic')


@pytest.mark.parametrize('name', NAMES)
def test_views_come_in_order_and_mirrored_back(name):
    """A network that returns its input shows the views themselves."""
    image = torch.rand(2, 3, 15, 21)
    views = list(view_maps(lambda x: x, image, (1.0, 1.5), flip=True, resize=name))
    assert [tuple(v.shape[-2:]) for v in views[:2]] == [(15, 21)] * 2
    assert torch.equal(views[0], image) and torch.equal(views[1], image)
    torch.testing.assert_close(views[2], views[3])
    assert torch.equal(views[2], make_resize(name)(image, 1.5))


def test_image_and_mirror_image_share_a_batch():
    image = torch.rand(2, 3, 8, 8)
    batches = list(view_batches(image, (1.0, 0.5), flip=True))
    assert [tuple(b.shape) for b in batches] == [(4, 3, 8, 8), (4, 3, 4, 4)]
    assert torch.equal(batches[1][2:], batches[1][:2].flip(-1))


def test_pillow_resizes_the_pixels_themselves():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 21, 33, 3), dtype=np.uint8)
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    batch = (torch.from_numpy(pixels).float() - mean) / std
    resized = make_resize('pil_cubic', mean, std)(batch.permute(0, 3, 1, 2), 0.5)
    back = (resized.permute(0, 2, 3, 1) * std + mean).numpy()
    # 10.5 and 16.5 round to the even side
    official = [np.array(Image.fromarray(p).resize((16, 10), Image.BICUBIC)) for p in pixels]
    np.testing.assert_allclose(back, np.stack(official), atol=1e-3)


def test_opencv_resizes_the_normalised_values():
    image = torch.randn(1, 3, 375, 500)
    for factor in (0.5, 0.75, 1.25, 1.75):
        official = cv2.resize(
            image[0].permute(1, 2, 0).numpy(),
            None,
            fx=factor,
            fy=factor,
            interpolation=cv2.INTER_CUBIC,
        )
        resized = make_resize('cv2_cubic')(image, factor)[0].permute(1, 2, 0)
        np.testing.assert_allclose(resized.numpy(), official, atol=5e-6)


def test_resize_errors():
    with pytest.raises(ValueError, match=r"resize='nearest' is not one of .*'cv2_cubic'"):
        make_resize('nearest')
    with pytest.raises(ValueError, match='give mean and std'):
        make_resize('pil_cubic')


@pytest.mark.parametrize('mode', ['logit_mean', 'logit_max', 'prob_mean', 'prob_max'])
@pytest.mark.parametrize('align_corners', [False, True])
def test_merge_logits_equals_stacking(mode, align_corners):
    views = [torch.randn(2, 5, h, w) for h, w in ((4, 6), (9, 12), (2, 3))]
    maps = torch.stack(
        [F.interpolate(v, (9, 12), mode='bilinear', align_corners=align_corners) for v in views]
    )
    maps = maps.softmax(2) if mode.startswith('prob') else maps
    expected = maps.mean(0) if mode.endswith('mean') else maps.amax(0)
    merged = merge_logits(iter(views), (9, 12), mode, align_corners)
    torch.testing.assert_close(merged, expected)
    torch.testing.assert_close(  # without batch dimension
        merge_logits((v[1] for v in views), (9, 12), mode, align_corners), expected[1]
    )


def test_merge_logits_errors():
    with pytest.raises(ValueError, match="mode='mean' is not"):
        merge_logits([torch.zeros(1, 2, 3, 3)], mode='mean')
    with pytest.raises(ValueError, match='no view'):
        merge_logits([])


def test_pair_means():
    views = torch.rand(4, 2, 3)
    first, second = pair_means(iter(views))
    assert torch.equal(first, (views[0] + views[1]) / 2)
    assert torch.equal(second, (views[2] + views[3]) / 2)
    with pytest.raises(ValueError, match='shorter'):
        list(pair_means(views[:3]))
