import pytest
import torch
from mmseg.models.backbones import MixVisionTransformer

from mmwsss.models.backbones import MixVisionTransformerAttn
from mmwsss.ops.affinity.attention_logits import AttentionLogits

TINY = dict(
    embed_dims=8,
    num_layers=(1, 1, 1, 2),
    num_heads=(1, 2, 3, 4),
    strides=(4, 2, 2, 1),
    sr_ratios=(8, 4, 2, 1),
)


def pair(**kwargs):
    torch.manual_seed(0)
    ours = MixVisionTransformerAttn(**TINY, **kwargs).eval()
    stock = MixVisionTransformer(**TINY).eval()
    ours.init_weights()
    for parameter in ours.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    stock.load_state_dict(ours.state_dict(), strict=True)
    for mine, theirs in zip(ours.modules(), stock.modules(), strict=True):
        if isinstance(mine, torch.nn.LayerNorm):
            theirs.eps = mine.eps
    return ours, stock


def test_maps_are_those_of_mmseg():
    ours, stock = pair()
    x = torch.randn(2, 3, 72, 56)
    for mine, theirs in zip(ours(x), stock(x), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_epsilons():
    ours, _ = pair()
    eps = {name: m.eps for name, m in ours.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    assert eps.pop('layers.0.0.norm') == 1e-5
    assert eps.pop('layers.2.1.0.attn.norm') == 1e-5
    assert eps['layers.0.1.0.norm1'] == eps['layers.3.2'] == 1e-6


def test_logits_give_the_attention_that_the_stock_layer_reports():
    ours, _ = pair(num_attn_blocks=5)
    x = torch.randn(1, 3, 64, 64)
    seen = []
    block = ours.layers[3][1][1]
    block.norm1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    maps, attn = ours.forward_with_attn(x)
    tokens = seen[0].transpose(0, 1)
    _, expected = block.attn.attn(tokens, tokens, tokens, average_attn_weights=False)
    prob = (attn[-1].dense() / 8**0.5).softmax(-1)
    torch.testing.assert_close(prob, expected, atol=1e-5, rtol=1e-4)
    assert [tuple(a.dense().shape) for a in attn] == [(1, h, m, m) for h, m in zip(
        (1, 2, 3, 4, 4), (4, 4, 4, 16, 16), strict=True)]  # fmt: skip
    for mine, plain in zip(maps, ours(x), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-5)


def test_reduced_logits_are_means_over_the_queries_of_a_key():
    """16 x 16 tokens reduced by 8: every key stands for 64 queries."""
    ours, _ = pair(num_attn_blocks=5)
    x = torch.randn(1, 3, 64, 64)
    _, attn = ours.forward_with_attn(x)
    layer = ours.layers[0]
    tokens, grid = layer[0](x)
    block = layer[1][0]
    tokens = block.norm1(tokens)
    weight, bias = block.attn.attn.in_proj_weight, block.attn.attn.in_proj_bias
    q = tokens @ weight[:8].T + bias[:8]
    reduced = block.attn.sr(tokens.transpose(1, 2).unflatten(2, grid))
    reduced = block.attn.norm(reduced.flatten(2).transpose(1, 2))
    k = reduced @ weight[8:16].T + bias[8:16]
    full = (q @ k.transpose(1, 2)).unflatten(1, (2, 8, 2, 8)).mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(attn[0].dense()[:, 0], full, atol=1e-5, rtol=1e-4)


def test_norms_are_frozen_and_the_rest_trains_through_the_logits():
    ours, _ = pair(with_cp=True)
    ours.train()
    maps, attn = ours.forward_with_attn(torch.randn(1, 3, 32, 32))
    (maps[-1].sum() + sum(a.dense().sum() for a in attn)).backward()
    for name, module in ours.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            assert not any(p.requires_grad for p in module.parameters()), name
    assert all(p.grad is not None for p in ours.parameters() if p.requires_grad)
    trained = MixVisionTransformerAttn(norm_frozen=False, **TINY)
    assert all(p.requires_grad for p in trained.parameters())


def test_too_many_attention_blocks_is_an_error():
    with pytest.raises(ValueError, match='num_attn_blocks must be in'):
        MixVisionTransformerAttn(num_attn_blocks=6, **TINY)


def test_mixing_is_the_weighted_sum_of_the_heads():
    logits = AttentionLogits(torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4))
    weight = torch.randn(3)
    expected = torch.einsum('bhij,h->bij', logits.dense(), weight)
    torch.testing.assert_close(logits.mix(weight), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[1:].mix(weight), expected[1:], atol=1e-5, rtol=1e-5)
