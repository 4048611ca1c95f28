"""Affinity vectors, their losses, attention of two views, GETAM."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.affinity.attention_views import attention_view_losses, getam
from mmwsss.ops.affinity.vectors import (
    affinity_vectors,
    mirror_affinity,
    mirrored_cells,
    region_consistency,
    region_labels,
    view_consistency,
)
from mmwsss.ops.class_attention import refine_by_attention


def affinity(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_affinity_vectors_by_hand():
    given = torch.tensor([[1.0, 3.0], [1.0, 0.0]])
    assert torch.equal(affinity_vectors(given, False, False), given)
    assert affinity_vectors(given, True, False).tolist() == [[1, 2], [2, 0]]
    expected = torch.tensor([[1 / 3, 2 / 3], [1.0, 0.0]])
    assert torch.allclose(affinity_vectors(given), expected)
    assert torch.equal(affinity_vectors(torch.zeros(2, 2)), torch.zeros(2, 2))  # no NaN


def test_cells_of_the_mirror_image():
    assert mirrored_cells((2, 3)).tolist() == [2, 1, 0, 5, 4, 3]
    a, grid = affinity(2, 6, 6), (2, 3)
    back = mirror_affinity(a, grid)
    assert back[0, 0, 4] == a[0, 2, 4] and back[1, 3, 1] == a[1, 5, 1]
    assert torch.equal(mirror_affinity(back, grid), a)
    assert not torch.equal(back, mirror_affinity(a, (3, 2)))  # the grid need not be square


@pytest.mark.parametrize('mode', ['cosine', 'l1', 'kl'])
def test_views_that_agree_cost_nothing(mode):
    a, b = affinity(2, 6, 6), affinity(2, 6, 6, seed=1)
    assert view_consistency(a, a, mode).item() == pytest.approx(0, abs=1e-12)
    value = view_consistency(a, b, mode)
    assert value > 0 and torch.allclose(value, view_consistency(b, a, mode))


def test_view_terms_by_hand():
    a, b = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    assert view_consistency(a, b, 'cosine').item() == pytest.approx(0.5)
    assert view_consistency(a, b, 'l1').item() == pytest.approx(0.5)
    rows = torch.tensor([[[0.75, 0.25]]]), torch.tensor([[[0.25, 0.75]]])
    expected = 0.5 * torch.tensor(3.0).log().item()
    assert view_consistency(*rows, 'kl').item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"mode='l2' is not one of \('cosine'"):
        view_consistency(a, b, 'l2')


def test_regions_by_hand():
    cams = torch.tensor([[[[-1.0, 10.0, 7.0, 4.0, 1.0]], [[8.0, 0.0, 1.0, 1.0, 1.0]]]])
    both = torch.tensor([[1.0, 1.0]])
    assert region_labels(cams, both).tolist() == [[2, 1, 1, 255, 0]]
    assert region_labels(cams, torch.tensor([[1.0, 0.0]])).tolist() == [[0, 1, 1, 255, 0]]
    assert region_labels(cams, torch.zeros(1, 2)).tolist() == [[0] * 5]  # an image without labels
    assert region_labels(cams, both, 0.35, 0.2).tolist() == [[2, 1, 1, 1, 0]]


def slow_regions(vectors, regions, background):
    """The definition, pair by pair."""
    totals, counts = [0.0, 0.0], [0, 0]
    for rows, labels in zip(vectors, regions.tolist(), strict=True):
        for i, j in itertools.permutations(range(len(labels)), 2):
            skip = {255} if background else {0, 255}
            if labels[i] in skip or labels[j] in skip:
                continue
            cosine = F.cosine_similarity(rows[i], rows[j], dim=0, eps=1e-8)
            kind = int(labels[i] != labels[j])
            totals[kind] += cosine if kind else 1 - cosine
            counts[kind] += 1
    return [total / (count + 1) for total, count in zip(totals, counts, strict=True)]


@pytest.mark.parametrize('background', [True, False])
def test_regions_pair_by_pair(background):
    vectors = affinity(3, 6, 6)
    regions = torch.tensor([[0, 0, 3, 3, 255, 7], [0, 0, 0, 0, 0, 255], [255] * 6])
    terms = region_consistency(vectors, regions, background)
    expected = slow_regions(vectors, regions, background)
    assert [term.item() for term in terms] == pytest.approx([float(e) for e in expected])


def test_gradients_of_the_regions_are_those_of_the_definition():
    regions = torch.tensor([[0, 0, 3, 3, 255, 7]])
    grads = []
    for function in (region_consistency, slow_regions):
        vectors = affinity(1, 6, 6).requires_grad_()
        sum(function(vectors, regions, True)).backward()
        grads.append(vectors.grad)
    assert torch.allclose(*grads)


def test_without_a_pair_the_terms_are_zero():
    vectors = affinity(2, 4, 4).requires_grad_()
    for regions in (torch.full((2, 4), 255), torch.tensor([[1, 255, 255, 255], [255] * 4])):
        positive, negative = region_consistency(vectors, regions)
        assert positive == 0 and negative == 0
        (positive + negative).backward()
        assert vectors.grad.isfinite().all()


def test_refinement_by_attention():
    maps = torch.tensor([[[[1.0, 2.0]]]])
    s = torch.tensor([[[1.0, 10.0], [100.0, 1000.0]]])
    assert refine_by_attention(maps, s).flatten().tolist() == [21, 2100]
    assert refine_by_attention(maps, s, 'columns').flatten().tolist() == [201, 2010]
    weights = torch.tensor([[[3.0, 5.0]]])
    assert refine_by_attention(maps, weights, 'class').flatten().tolist() == [3, 10]
    with pytest.raises(ValueError, match=r"rule='row' is not one of \('rows'"):
        refine_by_attention(maps, s, 'row')


def test_attention_of_two_views():
    first = affinity(2, 3, 7, 7)
    order = [0, *(1 + mirrored_cells((2, 3))).tolist()]
    mirrored = first[..., order, :][..., order]
    assert [x.item() for x in attention_view_losses(first, mirrored, (2, 3))] == [0, 0]
    mirrored[..., 0, 1:] += 0.5
    assert [x.item() for x in attention_view_losses(first, mirrored, (2, 3))] == [0.5, 0]


def test_getam_by_hand():
    attention, gradient = torch.zeros(2, 2, 1, 2, 3, 3).unbind()
    attention[..., 0, 1:] = torch.tensor([0.5, 2.0])
    gradient[0, 0, 0, 0, 1:] = torch.tensor([4.0, -1.0])
    gradient[1, 0, :, 0, 1:] = torch.tensor([[2.0, 1.0], [-6.0, 3.0]])
    gradient[..., 1, :] = 9  # of other queries
    assert getam(attention, gradient).tolist() == [[2 + 1, 2]]
    assert getam(attention, gradient, 1).tolist() == [[1, 2]]
    assert getam(attention, gradient, 1, 'grad_s').tolist() == [[1, 4]]
    assert getam(attention, gradient, 1, 'cam_grad').tolist() == [[0.5, 4]]
    assert getam(attention, gradient, 1, 'cam_grad_s').tolist() == [[0.5, 8]]
    with pytest.raises(ValueError, match=r'start_layer=2 is not in 0\.\.1'):
        getam(attention, gradient, 2)
    with pytest.raises(ValueError, match=r"rule='cam' is not one of \('grad'"):
        getam(attention, gradient, 0, 'cam')
