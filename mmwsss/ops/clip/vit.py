"""A CLIP vision transformer as plain functions over its modules.

The functions work on any module tree with the names of the OpenAI release (``conv1``,
``class_embedding``, ``transformer.resblocks[i].{ln_1, attn, ln_2, mlp}``, ...), which open_clip
shares, and give what its own forward hides: every block's tokens and attention maps.
Tokens are ``(B, L, C)`` with L = 1 + N, the class token first.
"""

from typing import NamedTuple

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
    count = int(patches.shape[0])  # never symbolic, also in a trace
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(f'{count} patch positions do not form a square grid')
    patches = patches.T.reshape(1, -1, side, side)
    patches = F.interpolate(patches, size=grid, mode='bilinear', align_corners=False)
    resized = torch.cat([cls, patches.flatten(2)[0].T])
    return resized.half().to(positions.dtype) if half else resized


def embed_patches(
    visual: nn.Module,
    image: Tensor,
    half: bool = False,
    pre_grid: int | None = None,
    double_class: bool = False,
) -> Tensor:
    """Tokens that enter the first block.

    Args:
        visual: CLIP vision tower.
        image: Normalised ``(B, 3, H, W)``; a rest of less than a patch is left out.
        half: Round the position embedding to half precision.
        pre_grid: Side of a grid to which the position embedding is resized before the image's,
            as in codes that prepare it for their training crop; it blurs the positions a little.
        double_class: Add the class embedding twice (WeakCLIP's official code).

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
    positions = visual.positional_embedding
    if pre_grid is not None:
        positions = interpolate_positions(positions, (pre_grid, pre_grid), half)
    positions = interpolate_positions(positions, (x.shape[-2], x.shape[-1]), half)
    x = x.flatten(2).transpose(1, 2)
    cls = visual.class_embedding.to(x.dtype) * (2 if double_class else 1)
    x = torch.cat([cls.expand(x.shape[0], 1, -1), x], dim=1)
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


def project_in(attn: nn.MultiheadAttention, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values ``(B, H, L, d)`` of ``(B, L, C)``."""
    qkv = F.linear(y, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = (split_heads(t, attn.num_heads) for t in qkv.chunk(3, dim=-1))
    return q, k, v


def softmax_attention(q: Tensor, k: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(d))`` of ``(B, H, L, d)``: ``(B, H, L, L)``, rows are queries."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)


def join_heads(x: Tensor) -> Tensor:
    """``(B, H, L, d)`` -> ``(B, L, H * d)``."""
    return x.transpose(1, 2).flatten(2)


def self_attention(
    attn: nn.MultiheadAttention,
    y: Tensor,
    heads: str | None = None,
    half: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head self-attention.

    Args:
        attn: Supplies the projections and the number of heads.
        y: ``(B, L, C)``.
        heads: Also return the attention map, the ``'mean'`` or the ``'sum'`` over the heads;
            without it the fused kernel runs.
        half: See :func:`project_out`.
        mask: Added to the attention logits, ``(L, L)``; only without ``heads``.

    Returns:
        The output ``(B, L, C)`` and the softmax attention ``(B, L, L)`` (rows are queries) or None.
    """
    q, k, v = project_in(attn, y)
    if heads is None:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return project_out(attn, join_heads(out), half), None
    weights = softmax_attention(q, k)
    out = project_out(attn, join_heads(weights @ v), half)
    return out, weights.mean(dim=1) if heads == 'mean' else weights.sum(dim=1)


class BlockOutput(NamedTuple):
    """What a block gives.

    Attributes:
        tokens: Residual stream behind the block, ``(B, L, C)``.
        middle: Residual stream behind its attention, before its MLP.
        attn: See :func:`self_attention`.
    """

    tokens: Tensor
    middle: Tensor
    attn: Tensor | None


def run_block(
    block: nn.Module,
    x: Tensor,
    heads: str | None = None,
    half: bool = False,
    mask: Tensor | None = None,
    drop_path: float = 0.0,
) -> BlockOutput:
    """One pre-norm residual block.

    Args:
        block: With ``ln_1``, ``attn``, ``ln_2``, ``mlp``.
        x: Residual stream ``(B, L, C)``.
        heads, half, mask: See :func:`self_attention`.
        drop_path: Probability with which an image skips the attention, and with which it skips
            the MLP; what it does not skip is scaled up (stochastic depth).
    """
    out, weights = self_attention(block.attn, block.ln_1(x), heads, half, mask)
    middle = x + drop_images(out, drop_path)
    return BlockOutput(
        middle + drop_images(block.mlp(block.ln_2(middle)), drop_path), middle, weights
    )


def drop_images(x: Tensor, probability: float) -> Tensor:
    """Set ``(B, ...)`` to zero for random images, and divide the others by their share."""
    if probability == 0:
        return x
    kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - probability)
    return x * kept / (1 - probability)


def encode_text(
    clip: nn.Module, tokens: Tensor, half: bool = False, contexts: Tensor | None = None
) -> Tensor:
    """Text embeddings, the feature at the end-of-text token. Gradients pass.

    Args:
        clip: Model with ``token_embedding``, ``positional_embedding``, ``transformer``,
            ``ln_final`` and ``text_projection``.
        tokens: ``(T, L)`` token ids.
        half: See :func:`project_out`.
        contexts: Embeddings ``(n, C)`` or ``(T, n, C)`` that are put behind the start token, as
            words that are learned.

    Returns:
        ``(T, D)``, not normalised.
    """
    x = clip.token_embedding(tokens)
    end = tokens.argmax(dim=-1)  # the end token has the largest id
    if contexts is not None:
        contexts = contexts.expand(len(x), *contexts.shape[-2:])
        x, end = torch.cat([x[:, :1], contexts, x[:, 1:]], dim=1), end + contexts.shape[1]
    length = x.shape[1]
    x = x + clip.positional_embedding[:length]
    causal = x.new_full((length, length), -torch.inf).triu_(1)
    for block in clip.transformer.resblocks:
        x = run_block(block, x, half=half, mask=causal).tokens
    return clip.ln_final(x[torch.arange(len(x), device=x.device), end]) @ clip.text_projection
