"""Grad-CAM of CLIP's softmax class probabilities, for all (image, class) pairs at once.

CLIP-ES (arXiv 2212.09506, section 3.2) takes the gradient of a class probability with respect
to the normed input of the last block's self-attention. That gradient is used only summed over
the patches, so it has a closed form that needs neither autograd nor one pass per class.

Symbols, per image: tokens X entering the last block; y = LN1(X); attention A, heads' output O;
x1 = X + O Wo + bo; z = LN2(x1); a = z W1 + b1; x2 = x1 + phi(a) W2 + b2; u = LNpost(x2);
f = mean over patches of u @ proj; p = softmax(scale * cos(f, texts)).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pairs import pair_slots
from .vit import join_heads, project_in, project_out, softmax_attention, split_heads


@dataclass
class SoftmaxGradCAM:
    """Result of :func:`clip_softmax_gradcam`.

    Attributes:
        cam: ``(P, N)``, the weighted sum of channels before the ReLU.
        weights: Channel weights ``(P, C)``.
        prob: Class probabilities ``(B, T)``; 0 for texts that are masked out.
        attn: Head-averaged attention of the last block ``(B, L, L)``.
    """

    cam: Tensor
    weights: Tensor
    prob: Tensor
    attn: Tensor


@dataclass
class _LastBlock:
    """Intermediate results of the last block that the gradient needs (patch rows only)."""

    y: Tensor  # (B, L, C) normed input of the attention
    q: Tensor  # (B, H, N, d)
    k: Tensor  # (B, H, L, d)
    v: Tensor  # (B, H, L, d)
    attn: Tensor  # (B, H, L, L)
    heads: Tensor  # (B, H, N, d) attention output before the projection
    ln_2: tuple[Tensor, Tensor]  # normalised input (B, N, C) and 1 / std (B, N, 1)
    ln_post: tuple[Tensor, Tensor]
    dphi: Tensor  # (B, N, 4C) derivative of the activation
    feature: Tensor  # (B, D)


def _standardize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LayerNorm without affine part: normalised x and the factor 1 / std."""
    var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    rstd = (var + eps).rsqrt()
    return (x - mean) * rstd, rstd


def _layer_norm_vjp(grad: Tensor, x_hat: Tensor, rstd: Tensor) -> Tensor:
    """Transpose of LayerNorm's Jacobian; ``grad`` already holds the factor gamma."""
    return rstd * (
        grad - grad.mean(-1, keepdim=True) - x_hat * (grad * x_hat).mean(-1, keepdim=True)
    )


def _forward(
    block: nn.Module, ln_post: nn.LayerNorm, proj: Tensor, tokens: Tensor, half: bool
) -> _LastBlock:
    y = block.ln_1(tokens)
    q, k, v = project_in(block.attn, y)
    attn = softmax_attention(q, k)
    heads = attn[:, :, 1:] @ v
    x1 = tokens[:, 1:] + project_out(block.attn, join_heads(heads), half)
    ln_2 = _standardize(x1, block.ln_2.eps)
    a = block.mlp[0](ln_2[0] * block.ln_2.weight + block.ln_2.bias)
    hidden, dphi = torch.func.jvp(block.mlp[1], (a,), (torch.ones_like(a),))
    x_hat, rstd = _standardize(x1 + block.mlp[2](hidden), ln_post.eps)
    feature = (x_hat.mean(1) * ln_post.weight + ln_post.bias) @ proj
    return _LastBlock(
        y, q[:, :, 1:], k, v, attn, heads, ln_2, (x_hat, rstd), dphi, feature
    )  # fmt: skip


def _probability_grad(
    feature: Tensor, prob: Tensor, text: Tensor, scale: float | Tensor, image: Tensor, cls: Tensor
) -> Tensor:
    """d p_c / d feature for every pair, ``(P, D)``.

    The class's own logit gets p_c (1 - p_c); 1 - p_c is summed from the other probabilities,
    which keeps its relative precision when p_c is close to 1.
    """
    others = prob[image].scatter(1, cls[:, None], 0)
    grad = (-others).scatter(1, cls[:, None], others.sum(1, keepdim=True))
    grad = scale * (prob[image, cls][:, None] * grad) @ text
    norm = feature.norm(dim=-1, keepdim=True)[image]
    unit = feature[image] / norm
    return (grad - unit * (unit * grad).sum(-1, keepdim=True)) / norm


def _backward_to_heads(
    block: nn.Module, fwd: _LastBlock, g: Tensor, image: Tensor, half: bool
) -> Tensor:
    """Gradient at the attention heads' output, patch rows: ``(P, H, N, d)``.

    ``g`` ``(P, C)`` is the gradient at LNpost's output times its gamma, equal for all patches, so
    its product with W2 is one vector-matrix product per pair plus a rank-one term per image.
    """
    x_hat, rstd = fwd.ln_post
    w1, w2 = block.mlp[0].weight, block.mlp[2].weight
    centred = (g - g.mean(-1, keepdim=True))[:, None]
    along = torch.einsum('pnc,pc->pn', x_hat[image], g)[..., None] / g.shape[-1]
    dx2 = rstd[image] * (centred - along * x_hat[image])
    da = rstd[image] * (centred @ w2 - along * (x_hat @ w2)[image])
    dz = (da.mul_(fwd.dphi[image]) @ w1) * block.ln_2.weight
    dx1 = dx2 + _layer_norm_vjp(dz, fwd.ln_2[0][image], fwd.ln_2[1][image])
    weight = block.attn.out_proj.weight
    dheads = (dx1.half() @ weight.half()).to(dx1.dtype) if half else dx1 @ weight
    return split_heads(dheads, block.attn.num_heads)


def _patch_sum_of_gradient(
    block: nn.Module, fwd: _LastBlock, d_out: Tensor, image: Tensor
) -> Tensor:
    """Sum over the patches of d p_c / d y, ``(P, C)``, from the gradient at the heads' output.

    S_Q, S_K and S_V are the patch sums of the gradients at queries, keys and values. Because
    every row of the softmax's gradient sums to zero, S_K only needs the class token's column.
    """
    _, num_heads, num_patches, dim = d_out.shape
    slot = pair_slots(image)
    per_image = d_out.new_zeros(fwd.attn.shape[0], int(slot.max()) + 1, num_heads, num_patches, dim)
    per_image[image, slot] = d_out
    attn = fwd.attn[:, :, 1:]  # (B, H, N, L)
    # V'_m = sum_n A_nm dO_n for all classes of an image in one product
    columns = per_image.permute(0, 2, 3, 1, 4).flatten(3)  # (B, H, N, K * d)
    v_grad = (attn.transpose(-1, -2) @ columns).unflatten(-1, (-1, dim))  # (B, H, L, K, d)
    v_grad = v_grad.permute(0, 3, 1, 2, 4)[image, slot]  # (P, H, L, d)
    e = (d_out * fwd.heads[image]).sum(-1, keepdim=True)  # (P, H, N, 1)
    scale = dim**-0.5
    k_mean = attn @ fwd.k
    s_q = ((v_grad * fwd.v[image]).sum(-1, keepdim=True) * fwd.k[image]).sum(2)
    s_q = (s_q - (e * k_mean[image]).sum(2)) * scale
    to_cls = attn[..., :1][image] * ((d_out * fwd.v[image][:, :, :1]).sum(-1, keepdim=True) - e)
    s_k = -(to_cls * fwd.q[image]).sum(2) * scale
    s_v = v_grad[:, :, 1:].sum(2)
    sums = torch.cat([s.flatten(1) for s in (s_q, s_k, s_v)], dim=-1)  # (P, 3C)
    return sums @ block.attn.in_proj_weight


@torch.no_grad()
def clip_softmax_gradcam(
    block: nn.Module,
    ln_post: nn.LayerNorm,
    proj: Tensor,
    tokens: Tensor,
    text: Tensor,
    text_mask: Tensor,
    logit_scale: float | Tensor,
    image_index: Tensor,
    text_index: Tensor,
    half: bool = False,
) -> SoftmaxGradCAM:
    """Grad-CAM of the softmax probability of text ``text_index[i]`` in image ``image_index[i]``.

    ``w_c = mean over patches of d p_c / d y``, ``cam_c = y_patch @ w_c``
    (CLIP-ES, equations 2-4). Everything runs in float32, whatever autocast says.

    Args:
        block: Last residual block of the vision tower.
        ln_post: LayerNorm behind it.
        proj: ``(C, D)`` projection to the joint space.
        tokens: Tokens that enter the block, ``(B, L, C)``.
        text: Unit text embeddings ``(T, D)``.
        text_mask: ``(B, T)`` bool, True for the texts that take part in an image's softmax.
        logit_scale: Factor on the cosine similarities (100 in the OpenAI weights).
        image_index: ``(P,)`` int64 ascending, the image of each pair.
        text_index: ``(P,)`` int64, the text of each pair.
        half: Attention's output projection in half precision (WeCLIP's official code).

    Returns:
        Maps, channel weights, probabilities and the block's attention.
    """
    with torch.autocast(tokens.device.type, enabled=False):
        fwd = _forward(block, ln_post, proj, tokens.float(), half)
        logits = logit_scale * F.normalize(fwd.feature, dim=-1) @ text.T
        prob = logits.masked_fill(~text_mask, -torch.inf).softmax(dim=-1)
        y_patch = fwd.y[:, 1:]
        if image_index.numel() == 0:
            empty = y_patch.new_zeros((0, y_patch.shape[1])), y_patch.new_zeros((0, proj.shape[0]))
            return SoftmaxGradCAM(*empty, prob, fwd.attn.mean(1))
        df = _probability_grad(fwd.feature, prob, text, logit_scale, image_index, text_index)
        num_patches = y_patch.shape[1]
        g = (df @ proj.T) * ln_post.weight / num_patches
        d_out = _backward_to_heads(block, fwd, g, image_index, half)
        weights = _patch_sum_of_gradient(block, fwd, d_out, image_index) / num_patches
        cam = torch.einsum('pnc,pc->pn', y_patch[image_index], weights)
        return SoftmaxGradCAM(cam, weights, prob, fwd.attn.mean(1))
