"""Merging of views, each convention against its official formula in numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.cam import CONVENTIONS, merge_cams

SIZE = (21, 34)
GRIDS = ((3, 5), (2, 3), (5, 7))


def resize(maps, size):
    return F.interpolate(maps[None], size, mode='bilinear', align_corners=False)[0].numpy()


def official(convention, pairs):
    """``pairs``: (view, mirror image mirrored back) per scale, ``(K, h, w)`` tensors."""
    views = [view for pair in pairs for view in pair]
    if convention == 'seam':
        total = np.maximum(np.sum([resize(v, SIZE) for v in views], axis=0), 0)
        low, high = total.min((1, 2), keepdims=True), total.max((1, 2), keepdims=True)
        total[total < low + 1e-5] = 0
        return (total - low - 1e-5) / (high - low + 1e-5)
    if convention == 'flipmax':
        total = sum(np.maximum(np.maximum(resize(a, SIZE), resize(b, SIZE)), 0) for a, b in pairs)
        total -= total.min((1, 2), keepdims=True)
        return total / (total.max((1, 2), keepdims=True) + 1e-5)
    if convention == 'mctformer':
        total = np.sum([resize(v, SIZE) for v in views], axis=0)
        low, high = total.min((1, 2), keepdims=True), total.max((1, 2), keepdims=True)
        return (total - low) / (high - low + 1e-8)
    if convention == 'acr':
        total = np.sum([np.maximum(resize(v, SIZE), 0) for v in views], axis=0)
        low, high = total.min((1, 2), keepdims=True), total.max((1, 2), keepdims=True)
        return np.maximum(total - low - 1e-5, 0) / (high - low + 1e-5)
    if convention == 'psa':
        total = np.sum([resize(v.relu(), SIZE) for v in views], axis=0)
    else:  # the pair is added before the resizing
        grid = (32, 48) if convention == 'irn' else (6, 9)
        total = np.sum([resize(a.relu() + b.relu(), grid) for a, b in pairs], axis=0)
        total = total[:, : SIZE[0], : SIZE[1]]
    return total / (total.max((1, 2), keepdims=True) + 1e-5)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_equals_the_official_formula(convention):
    torch.manual_seed(0)
    pairs = [tuple(torch.randn(2, 3, *g).unbind()) for g in GRIDS]
    merged = merge_cams((v for pair in pairs for v in pair), SIZE, convention)
    np.testing.assert_allclose(merged.numpy(), official(convention, pairs), atol=2e-6)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_images_of_a_batch_do_not_mix(convention):
    views = [torch.randn(2, 3, *g) for g in GRIDS for _ in range(2)]
    merged = merge_cams(views, SIZE, convention)
    torch.testing.assert_close(merged[1], merge_cams([v[1] for v in views], SIZE, convention))


def test_an_image_without_classes_has_no_map():
    assert merge_cams([torch.zeros(0, 3, 5)] * 2, SIZE).shape == (0, *SIZE)


def test_a_class_that_is_nowhere_active_is_zero():
    for convention in ('psa', 'irn', 'flipmax', 'acr'):
        assert (merge_cams([torch.full((1, 3, 5), -1.0)] * 2, SIZE, convention) == 0).all()


def test_errors():
    with pytest.raises(ValueError, match="convention='voc' is not one of"):
        merge_cams([torch.zeros(1, 3, 5)], SIZE, 'voc')
    with pytest.raises(ValueError, match='no view'):
        merge_cams([], SIZE)
    with pytest.raises(ValueError):  # flipmax needs whole pairs
        merge_cams([torch.zeros(1, 3, 5)] * 3, SIZE, 'flipmax')
