"""Attention sums and fusion, rank pooling, class-token contrast."""

import math

import pytest
import torch

from mmwsss.ops import class_attention
from mmwsss.ops.class_attention import AttentionSums, attend_and_sum, fuse_maps
from mmwsss.ops.class_token_contrast import class_token_contrast_loss
from mmwsss.ops.rank_pool import global_weighted_rank_pool


@pytest.mark.parametrize('together', [1, 4 * 7, 3 * 4 * 7, 2**19])
def test_attention_is_that_of_torch_and_its_mean_over_heads_is_summed(together, monkeypatch):
    monkeypatch.setattr(class_attention, '_TOGETHER', together)  # 1, 1, 3 or all 7 queries
    torch.manual_seed(0)
    layers = [torch.randn(3, 2, 4, 7, 5) for _ in range(3)]  # q, k, v: 2 images, 4 heads, 7 tokens
    sums, expected = AttentionSums(2), []
    for i, (q, k, v) in enumerate(layers):
        out = attend_and_sum(q, k, v, sums, with_classes=i > 0)
        wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        assert torch.allclose(out, wanted, atol=1e-6)
        expected.append((q @ k.mT / 5**0.5).softmax(-1).mean(1))
    assert torch.allclose(sums.patch, sum(expected)[:, 2:, 2:], atol=1e-6)
    assert torch.allclose(sums.class_patch, sum(expected[1:])[:, :2, 2:], atol=1e-6)


def test_rules_of_fusion():
    attention, maps = torch.tensor([[[[2.0, 3.0]]]]), torch.tensor([[[[8.0, -1.0]]]])
    assert fuse_maps(attention, maps, 'product').flatten().tolist() == [16, 0]
    assert fuse_maps(attention, maps, 'sqrt', layers=4).flatten().tolist() == [2, 0]
    assert fuse_maps(attention, maps, 'patch').flatten().tolist() == [8, 0]
    assert torch.equal(fuse_maps(attention, None, 'class'), attention)
    with pytest.raises(ValueError, match='needs the maps of a patch classifier'):
        fuse_maps(attention, None, 'product')
    with pytest.raises(ValueError, match=r"rule='mean' is not one of \('product'"):
        fuse_maps(attention, maps, 'mean')


def test_rank_pooling():
    maps = torch.tensor([[[[1.0, 4.0], [2.0, -3.0]]]])
    assert global_weighted_rank_pool(maps, 1.0).item() == 1.0
    expected = (4 + 0.5 * 2 + 0.25 * 1 - 0.125 * 3) / 1.875
    assert global_weighted_rank_pool(maps, 0.5).item() == pytest.approx(expected)


def test_contrast_of_tokens_that_are_known():
    tokens = torch.eye(4).expand(3, 2, 4, 4) * 7  # orthogonal, of any length
    alike = torch.ones(3, 2, 4, 4)
    labels = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    known = math.log(1 + 3 / math.e)
    assert class_token_contrast_loss(tokens, labels).item() == pytest.approx(known)
    assert class_token_contrast_loss(alike, labels).item() == pytest.approx(math.log(4))


def test_contrast_of_images_without_classes():
    tokens = torch.randn(2, 2, 4, 8, requires_grad=True)
    labels = torch.tensor([[0.0, 0, 0, 0], [0, 1, 1, 0]])
    loss = class_token_contrast_loss(tokens, labels)
    other = class_token_contrast_loss(tokens[:, 1:], labels[1:])
    assert loss.item() == pytest.approx(other.item() / 2)
    loss.backward()
    assert tokens.grad.isfinite().all() and not tokens.grad[:, 0].any()
    assert class_token_contrast_loss(tokens, torch.zeros(2, 4)).item() == 0
