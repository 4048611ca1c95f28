"""A CLIP vision transformer as plain functions over its modules.

The functions work on any module tree with the names of the OpenAI release (``conv1``,
``class_embedding``, ``transformer.resblocks[i].{ln_1, attn, ln_2, mlp}``, ...), which open_clip
shares, and give what its own forward hides: every block's tokens and attention maps.
Tokens are ``(B, L, C)`` with L = 1 + N, the class token first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def interpolate_positions(positions: Tensor, grid: tuple[int, int], half: bool = False) -> Tensor:
    """Resize the position embedding of a square grid to another grid.

    Bilinear, ``align_corners=False``, no antialiasing (CLIP-ES, section 3 of the official
    procedure); the class token's row is kept.

    Args:
        positions: ``(1 + g * g, C)``.
        grid: Wanted grid (h, w).
        half: Round the result to half precision, as the official code does.

    Returns:
        ``(1 + h * w, C)`` in the input's dtype.
    """
    cls, patches = positions[:1], positions[1:]
    side = round(patches.shape[0] ** 0.5)
    if side * side != patches.shape[0]:
        raise ValueError(f'{patches.shape[0]} patch positions do not form a square grid')
    patches = patches.T.reshape(1, -1, side, side)
    patches = F.interpolate(patches, size=grid, mode='bilinear', align_corners=False)
    resized = torch.cat([cls, patches.flatten(2)[0].T])
    return resized.half().to(positions.dtype) if half else resized


def embed_patches(visual: nn.Module, image: Tensor, half: bool = False) -> Tensor:
    """Tokens that enter the first block.

    Args:
        visual: CLIP vision tower.
        image: Normalised ``(B, 3, H, W)``; a rest of less than a patch is left out.
        half: Round the position embedding to half precision.

    Returns:
        ``(B, 1 + h * w, C)``.

    Raises:
        ValueError: If a side is smaller than one patch.
    """
    patch = visual.conv1.kernel_size
    if image.shape[-2] < patch[0] or image.shape[-1] < patch[1]:
        raise ValueError(
            f'an image of {tuple(image.shape[-2:])} pixels is smaller than one {patch} patch; '
            'resize it first'
        )
    x = visual.conv1(image)
    grid = (x.shape[-2], x.shape[-1])
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
    positions = interpolate_positions(visual.positional_embedding, grid, half)
    return visual.ln_pre(x + positions.to(x.dtype))


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """``(B, L, H * d)`` -> ``(B, H, L, d)``."""
    return x.unflatten(-1, (num_heads, -1)).transpose(-2, -3)


def project_out(attn: nn.MultiheadAttention, x: Tensor, half: bool = False) -> Tensor:
    """Output projection of an attention layer, ``(..., C)`` -> ``(..., C)``.

    Args:
        half: Multiply in half precision and return the input's dtype, as WeCLIP's official
            attention does on every device.
    """
    weight, bias = attn.out_proj.weight, attn.out_proj.bias
    if half:
        return F.linear(x.half(), weight.half(), bias.half()).to(x.dtype)
    return F.linear(x, weight, bias)


def self_attention(
    attn: nn.MultiheadAttention,
    y: Tensor,
    need_weights: bool = False,
    half: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head self-attention.

    Args:
        attn: Supplies the projections and the number of heads.
        y: ``(B, L, C)``.
        need_weights: Also return the attention map; without it the fused kernel runs.
        half: See :func:`project_out`.
        mask: Added to the attention logits, ``(L, L)``; only without ``need_weights``.

    Returns:
        The output ``(B, L, C)`` and the mean over heads of the softmax attention
        ``(B, L, L)`` (rows are queries) or None.
    """
    qkv = F.linear(y, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = (split_heads(t, attn.num_heads) for t in qkv.chunk(3, dim=-1))
    weights = None
    if need_weights:
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
        out = weights @ v
        weights = weights.mean(dim=1)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return project_out(attn, out.transpose(1, 2).flatten(2), half), weights


def run_block(
    block: nn.Module,
    x: Tensor,
    need_weights: bool = False,
    half: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """One pre-norm residual block.

    Args and returns as :func:`self_attention`, with the residual stream ``x`` as input
    and output.
    """
    out, weights = self_attention(block.attn, block.ln_1(x), need_weights, half, mask)
    x = x + out
    return x + block.mlp(block.ln_2(x)), weights


def encode_text(clip: nn.Module, tokens: Tensor, half: bool = False) -> Tensor:
    """Text embeddings, the feature at the end-of-text token.

    Args:
        clip: Model with ``token_embedding``, ``positional_embedding``, ``transformer``,
            ``ln_final`` and ``text_projection``.
        tokens: ``(T, L)`` token ids.
        half: See :func:`project_out`.

    Returns:
        ``(T, D)``, not normalised.
    """
    x = clip.token_embedding(tokens) + clip.positional_embedding[: tokens.shape[1]]
    length = tokens.shape[1]
    causal = x.new_full((length, length), -torch.inf).triu_(1)
    for block in clip.transformer.resblocks:
        x, _ = run_block(block, x, half=half, mask=causal)
    end = tokens.argmax(dim=-1)  # the end token has the largest id
    return clip.ln_final(x[torch.arange(len(x), device=x.device), end]) @ clip.text_projection
