import torch
import torch.nn.functional as F

from mmwsss.ops.multi_view import mean_of_views, resize_long_side


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
