import torch

from mmwsss.ops import pixel_adaptive
from mmwsss.ops.pixel_adaptive import par_weights, pixel_adaptive_refine
from mmwsss.ops.pixel_adaptive_cpu import weighted_neighbour_sum


def test_weights_sum():
    weights = par_weights(torch.rand(2, 3, 9, 11), (1, 2), w2=0.01)
    assert weights.shape == (2, 16, 9, 11)
    torch.testing.assert_close(weights.sum(1), torch.full((2, 9, 11), 1.01))


def test_refinement_stays_inside_an_edge():
    image = torch.zeros(1, 3, 20, 20)
    image[..., 10:] = 1
    scores = torch.zeros(1, 1, 20, 20)
    scores[..., 2:6, 2:6] = 1
    refined = pixel_adaptive_refine(image, scores, (1, 2), 30)
    assert refined[..., :10].mean() > 20 * refined[..., 10:].mean()


def test_compiled_sum_is_the_tensor_sum():
    torch.manual_seed(0)
    padded, weights = torch.rand(3, 4, 11, 13), torch.rand(3, 5, 7, 8)
    shifts = [(0, 0), (4, 5), (2, 1), (3, 0), (1, 4)]
    expected = sum(
        weights[:, n : n + 1] * padded[..., y : y + 7, x : x + 8] for n, (y, x) in enumerate(shifts)
    )
    torch.testing.assert_close(weighted_neighbour_sum(padded, weights, shifts), expected)


def test_cpu_and_device_paths_agree(monkeypatch):
    torch.manual_seed(0)
    image, scores = torch.rand(2, 3, 17, 23), torch.rand(2, 3, 17, 23)
    compiled = pixel_adaptive_refine(image, scores, (1, 3), 5)

    def tensor_average(masks, weights, dilations):
        neighbours = pixel_adaptive._neighbours(masks, dilations)
        return sum(weights[:, n : n + 1] * x for n, x in enumerate(neighbours))

    monkeypatch.setattr(pixel_adaptive, '_average', tensor_average)
    torch.testing.assert_close(pixel_adaptive_refine(image, scores, (1, 3), 5), compiled)
