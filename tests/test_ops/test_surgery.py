"""ExCEL's second path, maps of patches and texts, and attributes, against the formulas."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIPVisionCfg, _build_vision_tower

from mmwsss.ops.clip.attribute_bank import cluster_attributes, enrich_text
from mmwsss.ops.clip.patch_text import flip_max, localization_maps
from mmwsss.ops.clip.surgery import (
    calibrate,
    dynamic_attention,
    reference_tokens,
    run_surgery_block,
    surgery_attention,
)
from mmwsss.ops.clip.vit import run_block


@pytest.fixture
def block():
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=64, head_width=16, patch_size=8, image_size=16)
    return _build_vision_tower(16, vision).transformer.resblocks[0].requires_grad_(False)


def by_hand(attn, y, extra=None):
    """The second path head by head, with ``extra`` attention between patches."""
    q, k, v = F.linear(y, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
    total = 0
    split = [part.unflatten(-1, (attn.num_heads, -1)) for part in (q, k, v)]
    for h in range(attn.num_heads):
        for part in split:
            x = part[:, :, h]
            total = total + (x @ x.transpose(1, 2) / x.shape[-1] ** 0.5).softmax(-1) / 3
        if extra is not None:
            total[:, 1:, 1:] += extra
    heads = [total @ split[2][:, :, h] for h in range(attn.num_heads)]
    return F.linear(torch.cat(heads, -1), attn.out_proj.weight, attn.out_proj.bias)


def test_attention_head_by_head(block):
    y = torch.randn(2, 7, 64)
    out = surgery_attention(block.attn, y)
    torch.testing.assert_close(out.new, by_hand(block.attn, y))
    own, weights = block.attn(y, y, y, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(out.original, own)
    torch.testing.assert_close(out.attn, weights.sum(1))


def test_own_path_is_clips(block):
    x, new = torch.randn(2, 7, 64), torch.randn(2, 7, 64)
    out, plain = run_surgery_block(block, x, new), run_block(block, x)
    torch.testing.assert_close(out.tokens, plain.tokens)
    torch.testing.assert_close(out.middle, plain.middle)
    torch.testing.assert_close(out.new - new, by_hand(block.attn, block.ln_1(x)))


def test_calibration_needs_no_second_pass(block):
    """Two blocks run with the added attention give what the shortcut gives."""
    x = torch.randn(2, 7, 64)
    extra = dynamic_attention(torch.randn(2, 5, 2, 3))
    first = run_surgery_block(block, x, x)
    second = run_surgery_block(block, first.tokens, first.new)
    expected = x + by_hand(block.attn, block.ln_1(x), extra)
    expected = expected + by_hand(block.attn, block.ln_1(first.tokens), extra)
    found = calibrate(second.new, first.values + second.values, extra, block.attn.num_heads)
    torch.testing.assert_close(found, expected)


def test_dynamic_attention_is_over_what_is_above_the_mean_of_the_batch():
    features = torch.randn(3, 4, 2, 3)
    unit = F.normalize(features.flatten(2), dim=1)
    similarity = torch.einsum('bci,bcj->bij', unit, unit)
    kept = similarity >= similarity.mean()
    attention = dynamic_attention(features)
    assert (attention[~kept] == 0).all() and (attention[kept] > 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 6))
    row = (3 * similarity[0, 0]).exp() * kept[0, 0]
    torch.testing.assert_close(attention[0, 0], row / row.sum())


def test_token_sets_are_those_of_the_official_code():
    tokens, middle = [f'x{i}' for i in range(6)], [f'h{i}' for i in range(6)]
    assert reference_tokens(tokens, middle, 'z', 3) == ['x0', 'x1', 'z', 'h4', 'h5', 'x5']


def test_maps_equal_the_four_dimensional_product():
    torch.manual_seed(0)
    features, text = torch.randn(2, 7, 8), F.normalize(torch.randn(5, 8), dim=-1)
    weight = (2 * features[:, 0] @ text.T).softmax(-1)
    weight = weight / weight.mean(-1, keepdim=True)
    product = features[:, :, None] * text * weight[:, None, :, None]
    maps = (product - product.mean(2, keepdim=True)).sum(-1)
    low, high = maps.amin(1, keepdim=True), maps.amax(1, keepdim=True)
    expected = ((maps - low) / (high - low))[..., :3]
    torch.testing.assert_close(localization_maps(features, text, 3), expected)


def test_a_constant_map_is_zero():
    maps = localization_maps(torch.ones(1, 5, 4), F.normalize(torch.rand(3, 4), dim=-1), 2)
    assert (maps == 0).all()


def test_flip_max():
    maps = torch.tensor([[[[0.0, 1.0, 3.0]]], [[[2.0, 4.0, 1.0]]]])
    merged = flip_max(maps)  # 1, 4, 3 less 1, over 3
    torch.testing.assert_close(merged, torch.tensor([[[[0.0, 1.0, 2 / 3]]]]), atol=1e-5, rtol=0)


def test_clusters_are_the_groups_of_the_descriptions():
    centres = torch.eye(6)[:4]
    points = centres.repeat_interleave(5, 0) + 0.01 * torch.randn(20, 6)
    bank, flags = cluster_attributes(points, [10, 10], 4)
    nearest = F.normalize(bank, dim=0).T @ centres.T
    assert sorted(nearest.argmax(1).tolist()) == [0, 1, 2, 3] and nearest.amax(1).min() > 0.99
    assert flags.sum(1).tolist() == [2, 2] and flags.sum() == 4
    again, _ = cluster_attributes(points, [10, 10], 4)
    assert torch.equal(bank, again)


def test_more_attributes_than_descriptions():
    with pytest.raises(ValueError, match='3 attributes cannot be made of 2 different'):
        cluster_attributes(torch.eye(4)[[0, 1, 1]], [3], 3)


def test_enriched_texts_of_few_attributes_keep_them_all():
    """With nine attributes a tenth is none, and nothing may be dropped."""
    text = F.normalize(torch.randn(3, 8), dim=-1)
    bank = torch.randn(8, 9)
    found = enrich_text(text, bank, 2)
    weights = (text[:2] @ bank).softmax(-1)
    expected = F.normalize(text[:2] + weights @ bank.T, dim=-1)
    torch.testing.assert_close(found, torch.cat([expected, text[2:]]))
    many = torch.randn(8, 25)  # a tenth of 25 is cut to two
    weights = text[:2] @ many
    weights[weights < weights.topk(23).values[:, -1:]] = -torch.inf
    expected = F.normalize(text[:2] + weights.softmax(-1) @ many.T, dim=-1)
    torch.testing.assert_close(enrich_text(text, many, 2)[:2], expected)
