"""The closed form against autograd."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import LayerNorm, QuickGELU, ResidualAttentionBlock

from mmwsss.ops.clip.gradcam import clip_softmax_gradcam
from mmwsss.ops.clip.vit import self_attention

WIDTH, HEADS, EMBED = 32, 4, 12


def build(act_layer):
    torch.manual_seed(0)
    block = ResidualAttentionBlock(WIDTH, HEADS, act_layer=act_layer)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block, LayerNorm(WIDTH), torch.randn(WIDTH, EMBED)


def by_autograd(block, ln_post, proj, tokens, text, mask, scale, image, cls):
    y = block.ln_1(tokens[image : image + 1]).detach().requires_grad_()
    x = tokens[image : image + 1] + self_attention(block.attn, y)[0]
    x = ln_post(x + block.mlp(block.ln_2(x)))
    feature = F.normalize(x[:, 1:].mean(1) @ proj, dim=-1)
    prob = (scale * feature @ text[mask[image]].T).softmax(-1)[0]
    position = int(mask[image][:cls].sum())
    (gradient,) = torch.autograd.grad(prob[position], y)
    weights = gradient[0, 1:].mean(0)
    return prob[position].detach(), weights, y[0, 1:].detach() @ weights


@pytest.mark.parametrize('act_layer', [QuickGELU, torch.nn.GELU])
def test_equals_autograd(act_layer):
    block, ln_post, proj = build(act_layer)
    tokens, text = torch.randn(3, 1 + 6, WIDTH), F.normalize(torch.randn(7, EMBED), dim=-1)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[0, 2] = mask[2, 0] = False
    pairs = [(0, 1), (0, 3), (2, 2), (2, 4), (2, 6)]  # image 1 has none
    image_index, text_index = (torch.tensor(x) for x in zip(*pairs, strict=True))
    result = clip_softmax_gradcam(
        block, ln_post, proj, tokens, text, mask, 5.0, image_index, text_index
    )
    for i, (image, cls) in enumerate(pairs):
        prob, weights, cam = by_autograd(block, ln_post, proj, tokens, text, mask, 5.0, image, cls)
        torch.testing.assert_close(result.prob[image, cls], prob)
        torch.testing.assert_close(result.weights[i], weights, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(result.cam[i], cam, rtol=1e-4, atol=1e-5)
    assert result.prob[0, 2] == 0 and result.prob.sum(1).allclose(torch.ones(3))


def test_no_pairs():
    block, ln_post, proj = build(QuickGELU)
    none = torch.empty(0, dtype=torch.long)
    text = torch.eye(4, EMBED)
    result = clip_softmax_gradcam(
        block, ln_post, proj, torch.randn(2, 7, WIDTH), text, torch.ones(2, 4) > 0, 1.0, none, none
    )
    assert result.cam.shape == (0, 6) and result.attn.shape == (2, 7, 7)
