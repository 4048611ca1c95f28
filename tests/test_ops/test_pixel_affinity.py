import pytest
import torch

from mmwsss.ops import pixel_affinity as ops
from mmwsss.ops.pixel_affinity import (
    PairLabels,
    dense_affinity,
    fuse_low_high,
    pair_affinity_loss,
    pair_indices,
    pair_labels,
    pair_offsets,
    pixel_affinity,
    random_walk,
    random_walks,
    transition_power,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def loop_pairs(grid, radius):
    """(from, to) of every pair, pixel by pixel."""
    h, w = grid
    return [
        [
            (y * w + x, (y + dy) * w + x + dx)
            for y in range(h - radius + 1)
            for x in range(radius - 1, w - radius + 1)
        ]
        for dy, dx in pair_offsets(radius)
    ]


@pytest.mark.parametrize('radius', [2, 3, 5])
def test_offsets_are_half_of_an_open_disc(radius):
    offsets = pair_offsets(radius)
    both = {(dy, dx) for dy, dx in offsets} | {(-dy, -dx) for dy, dx in offsets}
    reach = range(-radius, radius + 1)
    disc = {(y, x) for y in reach for x in reach if 0 < x * x + y * y < radius**2}
    assert both == disc
    assert 2 * len(offsets) == len(disc)


@pytest.mark.parametrize(('grid', 'radius'), [((4, 5), 3), ((9, 7), 3), ((5, 9), 5), ((6, 13), 2)])
def test_indices_are_those_of_a_loop_over_pixels(grid, radius):
    source, target = pair_indices(grid, radius)
    expected = torch.tensor(loop_pairs(grid, radius))
    assert torch.equal(expected[0, :, 0], source)
    assert torch.equal(expected[..., 1], target)


@pytest.mark.parametrize('grid', [(4, 9), (5, 8), (1, 1)])
def test_a_grid_without_pairs_is_an_error(grid):
    with pytest.raises(ValueError, match=f'{grid[0]}x{grid[1]} grid has no pairs of radius 5'):
        pair_indices(grid, 5)


def test_affinity_and_its_gradient():
    features = torch.randn(2, 6, 7, 9, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ops._PairAffinity.apply(x, 3), features)

    features = torch.randn(2, 6, 7, 9)
    source, target = pair_indices((7, 9), 3)
    flat = features.flatten(2)
    distance = (flat[:, :, source][:, :, None] - flat[:, :, target]).abs().mean(1)
    torch.testing.assert_close(pixel_affinity(features, 3), distance.neg().exp())


def training_step(features, label, radius):
    """Affinity, labels, losses and gradient with regard to the features."""
    features = features.clone().requires_grad_()
    affinity = pixel_affinity(features, radius)
    labels = pair_labels(label, radius)
    losses = torch.stack(pair_affinity_loss(affinity, labels))
    (losses * torch.tensor([0.25, 0.5, 2.0])).sum().backward()
    return affinity.detach(), losses.detach(), features.grad, labels


@pytest.fixture
def tensor_path(monkeypatch):
    """Switch the compiled kernels off, as on other devices."""

    return lambda: monkeypatch.setattr(ops, '_compiled', lambda _: False)


@pytest.mark.parametrize(('grid', 'radius'), [((13, 21), 5), ((7, 9), 3), ((3, 4), 2)])
def test_kernels_equal_the_tensor_operations(grid, radius, tensor_path):
    features = torch.randn(2, 70, *grid).mul(2).round().div(4)  # with equal features
    label = torch.randint(0, 3, (2, *grid)).masked_fill(torch.rand(2, *grid) < 0.2, 255)
    compiled = training_step(features, label, radius)
    tensor_path()
    expected = training_step(features, label, radius)
    for got, want in zip(compiled[:3], expected[:3], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6 * want.abs().max().item())
    for got, want in zip(compiled[3], ops._tensor_labels(label, radius, 255), strict=True):
        assert torch.equal(got, want)


def test_gradient_of_the_loss():
    affinity = torch.rand(1, 5, 7, dtype=torch.double).clamp(0.1, 0.9).requires_grad_()
    kind = torch.randint(0, 4, (1, 5, 7))
    labels = PairLabels(kind == 0, kind == 1, kind == 2)
    assert torch.autograd.gradcheck(lambda x: pair_affinity_loss(x, labels), affinity)


def test_nan_reaches_only_the_pairs_that_hold_it(tensor_path):
    features = torch.randn(1, 3, 7, 9)
    features[0, 1, 3, 4] = torch.nan
    affinity = pixel_affinity(features, 3)
    walked = random_walk(torch.rand(1, 2, 7, 9), affinity, 3, logt=0)
    tensor_path()
    assert affinity.isnan().any() and not affinity.isnan().all()
    torch.testing.assert_close(affinity, pixel_affinity(features, 3), equal_nan=True)
    assert walked[..., 3, 4].isnan().all() and not walked[..., 0, 0].isnan().any()


def test_labels_of_another_shape_are_refused():
    labels = PairLabels(*[torch.ones(1, 4, 5, dtype=torch.bool)] * 3)
    with pytest.raises(RuntimeError, match='size'):
        pair_affinity_loss(torch.rand(1, 12, 5), labels)


@pytest.mark.parametrize('channels', [1, 5])
def test_walk_equals_the_sparse_product(channels):
    scores, affinity = torch.rand(2, channels, 9, 13), torch.rand(2, 34, 25)
    walked = random_walk(scores, affinity, 5, 7.5, 6)
    expected = ops._tensor_walk(scores, affinity, 5, 7.5, [64])[0]
    torch.testing.assert_close(walked, expected, rtol=1e-6, atol=1e-7)


def test_walks_of_several_lengths_are_the_separate_walks():
    """Equal, not close, whatever else walks along."""
    scores, affinity = torch.rand(2, 4, 9, 13), torch.rand(2, 34, 25)
    together = random_walks(scores, affinity, 5, 7.5, (6, 0, 3, 6))
    for walked, logt in zip(together, (6, 0, 3, 6), strict=True):
        alone = [random_walk(row, affinity, 5, 7.5, logt) for row in scores.split(1, dim=1)]
        assert torch.equal(walked, torch.cat(alone, dim=1))
    longer = ops._tensor_walk(scores, affinity, 5, 7.5, [1, 8, 64])
    torch.testing.assert_close(together[[1, 2, 0]], longer, rtol=1e-6, atol=1e-7)


def test_walk_passes_gradients():
    scores, affinity = torch.rand(1, 2, 5, 9), torch.rand(1, 12, 15, requires_grad=True)
    random_walk(scores, affinity, 3, logt=1).square().sum().backward()
    assert affinity.grad.abs().sum() > 0


def test_affinity_is_float32_under_autocast():
    features = torch.randn(1, 4, 5, 6).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        affinity = pixel_affinity(features, 3)
    torch.testing.assert_close(affinity, pixel_affinity(features.float(), 3))


def test_labels_follow_the_definition():
    label = torch.randint(0, 4, (2, 6, 8))
    label[label == 3] = 255
    got = pair_labels(label, 3)
    for image, flat in enumerate(label.flatten(1).tolist()):
        for d, pairs in enumerate(loop_pairs((6, 8), 3)):
            for k, (i, j) in enumerate(pairs):
                a, b = flat[i], flat[j]
                known = 255 not in (a, b)
                expected = (a == b == 0, known and a == b != 0, known and a != b)
                assert tuple(bool(part[image, d, k]) for part in got) == expected


def test_a_part_without_pairs_costs_nothing():
    affinity = torch.rand(1, 12, 5).clamp(0.1, 0.9).requires_grad_()
    none = torch.zeros(1, 12, 5, dtype=torch.bool)
    background, foreground, negative = pair_affinity_loss(affinity, PairLabels(none, ~none, none))
    assert background == negative == 0
    torch.testing.assert_close(foreground, -affinity.detach().log().mean(), rtol=1e-3, atol=0)
    foreground.backward()
    assert (affinity.grad < 0).all()


def test_the_batch_shares_one_denominator():
    affinity = torch.tensor([[[0.5, 0.25]], [[0.125, 0.5]]])
    background = torch.tensor([[[True, True]], [[True, False]]])
    none = torch.zeros_like(background)
    loss = pair_affinity_loss(affinity, PairLabels(background, none, none))[0]
    assert loss.item() == pytest.approx((1 + 2 + 3) * 0.6931472 / 3, rel=1e-4)


def test_fusion_of_confident_scores():
    # columns: sure foreground, sure background, undecided, outside of the image
    low = torch.tensor([[0.1, 0.9, 0.6, 0], [0.9, 0.1, 0.4, 0]])
    high = torch.tensor([[0.0, 0.8, 0.3, 0], [1.0, 0.2, 0.7, 0]])
    low, high = (s[:, None].repeat_interleave(2, 1).repeat_interleave(2, 2) for s in (low, high))
    assert fuse_low_high(low, high, pool=2).tolist() == [[1, 0, 255, 255]]
    # the scores are pooled before the decision
    low[:, 0, 0], low[:, 0, 1], low[:, 1, :2] = torch.tensor([1.0, 0]), low[:, 0, 1], 0.5
    low[:, 0, 1] = torch.tensor([0.1, 0.2])
    assert fuse_low_high(low, high, pool=2)[0, 0] == 255


@pytest.mark.parametrize(('low', 'high'), [((2, 8, 12), (2, 8, 12)), ((2, 8, 8), (3, 8, 8))])
def test_fusion_refuses_other_sizes(low, high):
    with pytest.raises(ValueError, match='multiples of 8'):
        fuse_low_high(torch.zeros(low), torch.zeros(high))


def test_dense_affinity_is_symmetric_with_the_pairs_and_the_diagonal():
    affinity = torch.rand(2, 12, 3 * 5) + 0.1
    matrix = dense_affinity(affinity, (5, 9), 3)
    expected = torch.eye(45).repeat(2, 1, 1)
    for d, pairs in enumerate(loop_pairs((5, 9), 3)):
        for k, (i, j) in enumerate(pairs):
            expected[:, i, j] = expected[:, j, i] = affinity[:, d, k]
    assert torch.equal(matrix, expected)


@pytest.mark.parametrize(('beta', 'logt'), [(8, 8), (2.5, 3), (14, 0)])
def test_walking_equals_the_power_of_the_matrix(beta, logt):
    grid, radius = (7, 11), 3
    affinity = torch.rand(3, len(pair_offsets(radius)), 5 * 7)
    scores = torch.rand(3, 4, *grid)
    power = transition_power(dense_affinity(affinity.double(), grid, radius), beta, logt)
    expected = (scores.double().flatten(2) @ power).view_as(scores).float()
    walked = random_walk(scores, affinity, radius, beta, logt)
    torch.testing.assert_close(walked, expected, rtol=0, atol=1e-6)
    assert (scores - walked).abs().max() > 0.1
    torch.testing.assert_close(power.sum(1), torch.ones(3, 77).double())


def test_images_of_a_batch_walk_alone():
    affinity, scores = torch.rand(2, 12, 15), torch.rand(2, 3, 5, 9)
    both = random_walk(scores, affinity, 3)
    for i in range(2):
        alone = random_walk(scores[i : i + 1], affinity[i : i + 1], 3)
        torch.testing.assert_close(both[i : i + 1], alone)


def test_without_affinity_nothing_moves():
    scores = torch.rand(1, 2, 5, 9)
    torch.testing.assert_close(random_walk(scores, torch.zeros(1, 12, 15), 3), scores)
