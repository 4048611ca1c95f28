"""Losses of ACR against slow plain formulas."""

import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.losses.reconstruction import (
    Erased,
    classifier_losses,
    erase_grid,
    erase_segments,
    masked_l1,
    reconstructor_losses,
    target_segment,
)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_masked_l1_counts_pixels_without_mask_as_zero():
    recon, image = torch.full((2, 3, 2, 2), 3.0), torch.ones(2, 3, 2, 2)
    mask = torch.zeros(2, 1, 2, 2)
    mask[0, 0, 0, 0], mask[1, 0, 1, 1] = 1, 0.5
    assert masked_l1(recon, image, mask) == pytest.approx((2 + 1) / 8)
    first, none = torch.tensor([True, False]), torch.tensor([False, False])
    assert masked_l1(recon, image, mask, first) == pytest.approx(2 / 4)
    assert masked_l1(recon, image, mask, none) == 0


def test_images_that_are_not_valid_get_no_gradient():
    recon = random(2, 3, 4, 4).requires_grad_()
    valid = torch.tensor([False, True])
    masked_l1(recon, torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4), valid).backward()
    assert not recon.grad[0].any() and torch.allclose(recon.grad[1], torch.tensor(1 / 48))


def test_grid_of_cells():
    draws = torch.tensor([[0, 19], [20, 99]])[None, None]
    expected = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert torch.equal(erase_grid(draws, 20, (4, 4))[0, 0], expected)
    assert erase_grid(draws, 100, (4, 4)).all() and not erase_grid(draws, 0, (4, 4)).any()


def test_segment_of_the_target():
    maps = torch.tensor([[[[9.0, 9.0]], [[-1.0, 3.0]]], [[[1.0, 3.0]], [[5.0, 5.0]]]])
    segment = target_segment(maps, torch.tensor([1, 0]), (1, 2))
    assert segment[0].flatten().tolist() == pytest.approx([0, (3 - 1e-5) / (3 + 1e-5)])
    assert segment[1].flatten().tolist() == pytest.approx([0, (2 - 1e-5) / (2 + 1e-5)])
    assert not target_segment(maps, torch.tensor([-1, -1]), (1, 2)).any()


def test_segment_is_normalised_before_it_is_enlarged():
    maps = random(2, 3, 4, 5) - 0.5
    targets = torch.tensor([2, 0])
    expected = []
    for one, target in zip(maps, targets, strict=True):
        x = one[target].relu()
        x = (x - x.min() - 1e-5).relu() / (x.max() - x.min() + 1e-5)
        large = F.interpolate(x[None, None], (16, 20), mode='bilinear', align_corners=False)
        expected.append(large[0])
    torch.testing.assert_close(target_segment(maps, targets, (16, 20)), torch.stack(expected))


def test_what_is_hidden():
    segment = random(3, 1, 8, 8)
    grid = torch.ones(3, 1, 8, 8)
    grid[..., :4] = 0
    targets = torch.tensor([0, -1, 2])
    erased = erase_segments(segment, grid, targets)
    assert not erased.target[..., :4].any() and not erased.rest[..., :4].any()
    torch.testing.assert_close(erased.target + erased.rest, grid)
    left = (1 - erased.target).flatten(1).sum(1)
    assert ((left > 50) & (targets >= 0)).tolist() == erased.valid.tolist()
    empty = erase_segments(torch.zeros(3, 1, 8, 8), grid, targets)
    assert empty.valid.tolist() == [True, False, True]


def test_reconstructor_is_judged_where_it_saw_nothing():
    image, built = random(2, 3, 4, 4), [random(2, 3, 4, 4, seed=i) for i in (1, 2, 3)]
    target, rest = random(2, 1, 4, 4, seed=4), random(2, 1, 4, 4, seed=5)
    logits, labels = random(2, 3, seed=6), torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    erased = Erased(target, rest, torch.tensor([True, False]))
    losses = reconstructor_losses(logits, labels, image, *built, erased)
    p = logits.sigmoid()
    bce = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    assert losses['recon_cls'] == pytest.approx(bce.item())
    assert losses['recon_full'] == pytest.approx((built[0] - image).abs().mean().item())
    first = ((built[1] - image).abs() * target)[0].mean()
    assert losses['recon_target'] == pytest.approx(first.item(), rel=1e-5)
    everywhere = ((built[2] - image).abs() * rest).mean()
    assert losses['recon_rest'] == pytest.approx(everywhere.item(), rel=1e-5)


def test_classifier_is_judged_outside_of_the_segment_and_in_it():
    image, built = random(2, 3, 4, 4), [random(2, 3, 4, 4, seed=i) for i in (1, 2)]
    segment = (random(2, 1, 4, 4, seed=3) - 0.5).relu().requires_grad_()
    maps, targets = random(2, 3, 4, 4, seed=4), torch.tensor([2, 0])
    logits, labels = random(2, 3, seed=5), torch.ones(2, 3)
    losses = classifier_losses(logits, labels, image, *built, segment, maps, targets)
    outside, inside = 0.0, 0.0
    for b in range(2):
        for y in range(4):
            for x in range(4):
                s = segment[b, 0, y, x].item()
                errors = [(one[b, :, y, x] - image[b, :, y, x]).abs().sum().item() for one in built]
                outside += errors[0] * (s == 0)
                inside += errors[1] * s * (maps[b, :, y, x].argmax() == targets[b]).item()
    assert outside > 0 and inside > 0
    assert losses['target'].item() == pytest.approx(-outside / 96, rel=1e-5)
    assert losses['rest'].item() == pytest.approx(-inside / 96, rel=1e-5)
    assert not losses['rest'].requires_grad  # the mask itself is no way to a larger error
