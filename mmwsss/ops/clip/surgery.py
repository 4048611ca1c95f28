"""CLIP with a second path through its last blocks, calibrated for dense features (ExCEL).

Paper: arXiv 2503.20826, static and learnable visual calibration (SVC, LVC). Official code:
zwyang6/ExCEL, clip/clip_surgery_model.py. The second path has no MLPs, and its attention is the
mean of query-query, key-key and value-value attention, one matrix for all heads.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..affinity import centred_similarity
from .vit import join_heads, project_in, project_out, softmax_attention


class SurgeryAttention(NamedTuple):
    """Results of :func:`surgery_attention`.

    Attributes:
        new: Output of the second path's attention, ``(B, L, C)``.
        original: Output of CLIP's own attention, ``(B, L, C)``.
        attn: CLIP's own attention, summed over the heads, ``(B, L, L)``.
        values: Projected values without bias ``(B, L, C)``: attending more by E to other patches
            adds ``heads * E @ values`` to ``new``.
    """

    new: Tensor
    original: Tensor
    attn: Tensor
    values: Tensor


def surgery_attention(attn: nn.MultiheadAttention, y: Tensor) -> SurgeryAttention:
    """Attention of both paths from one normed input ``(B, L, C)``, which is CLIP's own."""
    q, k, v = project_in(attn, y)
    own = softmax_attention(q, k)
    mixed = sum(softmax_attention(x, x).sum(dim=1) for x in (q, k, v)) / 3
    return SurgeryAttention(
        project_out(attn, join_heads(mixed[:, None] @ v)),
        project_out(attn, join_heads(own @ v)),
        own.sum(dim=1),
        F.linear(join_heads(v), attn.out_proj.weight),
    )


class SurgeryBlock(NamedTuple):
    """Results of :func:`run_surgery_block`, ``(B, L, C)`` each but the attention.

    Attributes:
        tokens, middle: CLIP's own residual stream behind the block, and before its MLP.
        new: The second residual stream behind the block.
        attn, values: See :class:`SurgeryAttention`.
    """

    tokens: Tensor
    middle: Tensor
    new: Tensor
    attn: Tensor
    values: Tensor


def run_surgery_block(block: nn.Module, x: Tensor, new: Tensor) -> SurgeryBlock:
    """One block with both paths.

    Args:
        block: With ``ln_1``, ``attn``, ``ln_2``, ``mlp``.
        x: CLIP's own residual stream ``(B, L, C)``.
        new: The second residual stream; ``x`` itself before the first such block.
    """
    out = surgery_attention(block.attn, block.ln_1(x))
    middle = x + out.original
    tokens = middle + block.mlp(block.ln_2(middle))
    return SurgeryBlock(tokens, middle, new + out.new, out.attn, out.values)


def reference_tokens(
    tokens: Sequence[Tensor], middle: Sequence[Tensor], new: Tensor, num_surgery: int
) -> list[Tensor]:
    """The token sets that the published decoder was trained on, one per block.

    The official code keeps views of tensors that it changes later: from the block before the
    second path to the last but one, a set is not the block's output but the final second stream,
    and then the next block's stream before its MLP.

    Args:
        tokens, middle: Of all L blocks, see :func:`run_surgery_block`.
        new: The final second stream.
        num_surgery: Blocks with a second path.
    """
    first = len(tokens) - num_surgery
    return [*tokens[: first - 1], new, *middle[first + 1 :], tokens[-1]]


def dynamic_attention(features: Tensor, gamma: float = 3.0) -> Tensor:
    """Attention between patches by learned features (LVC).

    ``softmax(S')`` with ``S' = gamma (u_i . u_j - mean)`` of unit features, where it is not
    negative; the mean runs over the whole batch, as in the official code.

    Args:
        features: ``(B, C, h, w)``.

    Returns:
        ``(B, N, N)``, rows sum to 1.
    """
    similarity = centred_similarity(features, gamma)
    return similarity.masked_fill(similarity < 0, -torch.inf).softmax(dim=-1)


def calibrate(new: Tensor, values: Tensor, attention: Tensor, num_heads: int) -> Tensor:
    """The second stream as if ``attention`` had been added to that of all its blocks and heads.

    Exact, without running CLIP again: the added attention does not change the own path, so what
    it adds is linear in the values.

    Args:
        new: The final second stream ``(B, 1 + N, C)``.
        values: Sum of the blocks' projected values, of the same shape.
        attention: ``(B, N, N)``.
        num_heads: Heads of a block.
    """
    patches = new[:, 1:] + num_heads * (attention @ values[:, 1:])
    return torch.cat([new[:, :1], patches], dim=1)


def project_patches(visual: nn.Module, new: Tensor) -> Tensor:
    """Patch features in the space of the texts.

    Args:
        visual: CLIP vision tower.
        new: The final second stream ``(B, L, C)``, with the class token of CLIP's own path.

    Returns:
        ``(B, L, D)``; every *channel* has norm 1 over the tokens, as in the official code.
    """
    features = visual.ln_post(new) @ visual.proj
    return features / features.norm(dim=1, keepdim=True)
