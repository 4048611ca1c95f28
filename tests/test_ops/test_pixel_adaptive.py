import numpy as np
import pytest
import torch

from mmwsss.ops import pixel_adaptive
from mmwsss.ops.pixel_adaptive import (
    average_neighbours,
    cpu,
    pamr,
    pamr_weights,
    par_weights,
    pixel_adaptive_refine,
)


@pytest.fixture
def tensor_path(monkeypatch):
    """Switch the compiled kernels off, as on other devices."""

    def average(masks, weights, dilations, iterations):
        for _ in range(iterations):
            masks = pixel_adaptive._tensor_average(masks, weights, dilations)
        return masks

    def switch():
        monkeypatch.setattr(pixel_adaptive, 'average_neighbours', average)
        monkeypatch.setattr(pixel_adaptive, '_colour_weights', pixel_adaptive._tensor_weights)

    return switch


@pytest.fixture
def all_work_shared(monkeypatch):
    """Small work, too, is worth a thread; the number of threads comes back."""
    monkeypatch.setattr(cpu, '_GRAIN', 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pixel_reference(image: np.ndarray, y: int, x: int, dilations: tuple, kind: str) -> np.ndarray:
    """Weights of one pixel of ``(3, H, W)``, neighbour by neighbour."""
    height, width = image.shape[1:]
    offsets = [
        (dy * d, dx * d)
        for d in dilations
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    ]
    near = np.array(
        [
            image[:, np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
            for dy, dx in offsets
        ]
    )
    centre, difference = image[:, y, x], near - image[:, y, x]

    def softmax(z):
        e = np.exp(z - z.max())
        return e / e.sum()

    if kind == 'pamr':
        sample = np.concatenate([near, np.repeat(centre[None], len(dilations), 0)])
        return softmax(-(np.abs(difference) / (1e-8 + 0.1 * sample.std(0, ddof=1))).mean(1))
    colour = softmax(-((difference / (near.std(0, ddof=1) + 1e-8) / 0.3) ** 2).mean(1))
    length = np.hypot(*np.array(offsets).T)
    return colour + 0.01 * softmax(-((length / (length.std(ddof=1) + 1e-8) / 0.3) ** 2))


@pytest.mark.parametrize(('kind', 'weights_of'), [('par', par_weights), ('pamr', pamr_weights)])
def test_weights_are_those_of_the_equations(kind, weights_of):
    image = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    weights = weights_of(image, (1, 2, 5))
    for b, y, x in ((0, 0, 0), (1, 4, 5), (1, 8, 3), (0, 2, 10)):
        expected = pixel_reference(image[b].double().numpy(), y, x, (1, 2, 5), kind)
        np.testing.assert_allclose(weights[b, :, y, x], expected, atol=1e-6)


def test_weights_sum():
    image = torch.rand(2, 3, 9, 11)
    for weights, total in ((par_weights(image, (1, 2)), 1.01), (pamr_weights(image, (1, 2)), 1.0)):
        assert weights.shape == (2, 16, 9, 11)
        torch.testing.assert_close(weights.sum(1), torch.full((2, 9, 11), total))


def test_neighbours_of_one_colour_weigh_the_same():
    image = torch.full((1, 3, 12, 12), 0.3)
    torch.testing.assert_close(pamr_weights(image, (1, 2)), torch.full((1, 16, 12, 12), 1 / 16))
    image[..., 6, 6] = 0.9  # all its neighbours are equally far
    for weights in (pamr_weights(image, (1, 2)), par_weights(image, (1, 2), w2=0.0)):
        torch.testing.assert_close(weights[0, :, 6, 6], torch.full((16,), 1 / 16))
        assert weights.isfinite().all()


def test_nearly_equal_neighbours_far_from_the_centre_keep_their_std():
    image = 1e-3 * torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    image[..., 2, 2] = 0.01
    expected = pixel_reference(image[0].double().numpy(), 2, 2, (1,), 'par')
    np.testing.assert_allclose(par_weights(image, (1,))[0, :, 2, 2], expected, atol=1e-5)


def test_refinement_stays_inside_an_edge():
    image = torch.zeros(1, 3, 20, 20)
    image[..., 10:] = 1
    scores = torch.zeros(1, 1, 20, 20)
    scores[..., 2:6, 2:6] = 1
    for refine in (pixel_adaptive_refine, pamr):
        refined = refine(image, scores, (1, 2), 30)
        assert refined[..., :10].mean() > 20 * refined[..., 10:].mean()


def test_pamr_keeps_scores_that_sum_to_one():
    scores = torch.randn(2, 4, 9, 12).softmax(1)
    refined = pamr(torch.rand(2, 3, 9, 12), scores)
    torch.testing.assert_close(refined.sum(1), torch.ones(2, 9, 12))
    assert not torch.allclose(refined, scores, atol=1e-2)


def test_channels_share_the_weights():
    image, high, low = torch.rand(1, 3, 10, 10), torch.rand(1, 2, 10, 10), torch.rand(1, 2, 10, 10)
    both = pixel_adaptive_refine(image, torch.cat([high, low], 1), (1, 2), 3)
    weights = par_weights(image, (1, 2))
    torch.testing.assert_close(both[:, :2], average_neighbours(high, weights, (1, 2), 3))
    torch.testing.assert_close(both[:, 2:], pixel_adaptive_refine(image, low, (1, 2), 3))


@pytest.mark.parametrize('refine', [pixel_adaptive_refine, pamr])
def test_either_image_or_masks_are_resized(refine):
    image, masks = torch.rand(2, 3, 16, 12), torch.rand(2, 2, 8, 7)
    assert refine(image, masks, (1,), 2).shape == (2, 2, 8, 7)
    large = refine(image, masks, (1,), 2, resize='masks')
    resized = torch.nn.functional.interpolate(masks, (16, 12), mode='bilinear', align_corners=True)
    torch.testing.assert_close(large, refine(image, resized, (1,), 2))
    with pytest.raises(ValueError, match="'image' or 'masks'"):
        refine(image, masks, resize='mask')
    with pytest.raises(ValueError, match='2 images'):
        refine(image, masks[:1])


def test_no_round_leaves_the_masks_alone():
    masks = torch.rand(1, 2, 6, 6, requires_grad=True)
    refined = pamr(torch.rand(1, 3, 6, 6), masks, iterations=0)
    assert torch.equal(refined, masks) and not refined.requires_grad


def test_weights_of_other_dilations_are_refused():
    weights = pamr_weights(torch.rand(1, 3, 6, 6), (1, 2))
    with pytest.raises(ValueError, match='need weights of shape'):
        average_neighbours(torch.rand(1, 2, 6, 6), weights, (1, 2, 4), 1)


@pytest.mark.parametrize('threads', [1, 3])
def test_rounds_are_those_of_tensors(threads, all_work_shared):
    """Also of more threads than images, and of a border wider than the image."""
    torch.set_num_threads(threads)
    masks, dilations = torch.rand(2, 4, 7, 8), (1, 5, 12)
    weights = torch.rand(2, 24, 7, 8) / 12
    expected = masks
    for _ in range(3):
        expected = pixel_adaptive._tensor_average(expected, weights, dilations)
    torch.testing.assert_close(average_neighbours(masks, weights, dilations, 3), expected)
    assert average_neighbours(masks[:, :0], weights, dilations, 3).shape == (2, 0, 7, 8)


@pytest.mark.parametrize('refine', [pixel_adaptive_refine, pamr])
@pytest.mark.parametrize('threads', [1, 2])
def test_cpu_and_device_paths_agree(refine, threads, tensor_path, all_work_shared):
    torch.manual_seed(0)
    image, scores = torch.rand(2, 3, 17, 23), torch.rand(2, 3, 17, 23)
    torch.set_num_threads(threads)
    compiled = refine(image, scores, (1, 3), 5)
    tensor_path()
    torch.testing.assert_close(refine(image, scores, (1, 3), 5), compiled)
