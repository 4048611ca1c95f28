"""SegFormer's encoder with its attention exposed."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.models.backbones import MixVisionTransformer
from mmseg.models.backbones.mit import EfficientMultiheadAttention, TransformerEncoderLayer
from mmseg.models.utils import nchw_to_nlc, nlc_to_nchw
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmwsss.ops.affinity.attention_logits import AttentionLogits
from mmwsss.ops.clip.vit import split_heads
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, WHOLE, checked, number, several

Maps = tuple[Tensor, ...]


def attend(
    attn: EfficientMultiheadAttention, x: Tensor, grid: tuple[int, int], need_logits: bool
) -> tuple[Tensor, AttentionLogits | None]:
    """Self-attention with spatially reduced keys and values, and its logits.

    Args:
        attn: Holds the weights.
        x: ``(B, N, C)`` normalised tokens of ``grid``.
        grid: (h, w).
        need_logits: Whether to return the logits.

    Returns:
        ``(B, N, C)`` before the shortcut, and the logits of M x M keys, or None. M = N without
        reduction; else queries are averaged over the area of a key.
    """
    weight, bias = attn.attn.in_proj_weight, attn.attn.in_proj_bias
    channels = x.shape[-1]
    reduced = x
    if attn.sr_ratio > 1:
        reduced = attn.norm(nchw_to_nlc(attn.sr(nlc_to_nchw(x, grid))))
    bias_q, bias_kv = (None, None) if bias is None else (bias[:channels], bias[channels:])
    tokens = F.linear(x, weight[:channels], bias_q)
    kv = F.linear(reduced, weight[channels:], bias_kv).chunk(2, dim=-1)
    query, key, value = (split_heads(t, attn.num_heads) for t in (tokens, *kv))
    dropout = attn.attn.dropout if attn.training else 0.0
    out = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    out = attn.attn.out_proj(out.transpose(1, 2).flatten(2))
    if not need_logits:
        return out, None
    if attn.sr_ratio > 1:
        area = nchw_to_nlc(F.avg_pool2d(nlc_to_nchw(tokens, grid), attn.sr_ratio))
        query = split_heads(area, attn.num_heads)
    return out, AttentionLogits(query, key)


def run_block(
    block: TransformerEncoderLayer, x: Tensor, grid: tuple[int, int], need_logits: bool
) -> tuple[Tensor, AttentionLogits | None]:
    """One encoder block on tokens ``(B, N, C)``, and the logits of :func:`attend`."""
    attn = block.attn
    out, logits = attend(attn, block.norm1(x), grid, need_logits)
    x = x + attn.dropout_layer(attn.proj_drop(out))
    return block.ffn(block.norm2(x), grid, identity=x), logits


@MODELS.register_module()
@checked(
    num_attn_blocks=WHOLE,
    norm_frozen=FLAG,
    strides=several(COUNT),
    embed_dims=COUNT,
    drop_rate=SHARE,
    attn_drop_rate=SHARE,
    drop_path_rate=number(0, 1, open_high=True),
)
class MixVisionTransformerAttn(MixVisionTransformer):
    """mmseg's ``MixVisionTransformer`` that also gives attention logits (AFA, arXiv 2203.02664).

    Same modules and parameter names, but no ``N x M`` matrix is ever formed. LayerNorms of the
    patch embeddings and behind the spatial reduction have epsilon 1e-5 as in SegFormer's own
    code, the others that of ``norm_cfg``.

    Args:
        num_attn_blocks: Logits of this many last blocks are given by :meth:`forward_with_attn`.
        norm_frozen: LayerNorms are not trained (AFA).
        strides: Strides of the patch embeddings; AFA keeps the last stage at stride 16.
        kwargs: Arguments of ``MixVisionTransformer``.

    Raises:
        ValueError: ``num_attn_blocks`` is negative or larger than the number of blocks.
    """

    def __init__(
        self,
        num_attn_blocks: int = 2,
        norm_frozen: bool = True,
        strides: Sequence[int] = (4, 2, 2, 1),
        **kwargs,
    ) -> None:
        super().__init__(strides=strides, **kwargs)
        depth = sum(self.num_layers)
        if num_attn_blocks > depth:
            raise ValueError(f'num_attn_blocks must be in 0..{depth}, got {num_attn_blocks}')
        self.num_attn_blocks = num_attn_blocks
        for embed, blocks, _ in self.layers:
            embed.norm.eps = 1e-5
            for block in blocks:
                if block.attn.sr_ratio > 1:
                    block.attn.norm.eps = 1e-5
        if norm_frozen:
            for module in self.modules():
                if isinstance(module, nn.LayerNorm):
                    module.requires_grad_(False)

    @property
    def num_attn_heads(self) -> int:
        """Heads of the last ``num_attn_blocks`` blocks together."""
        heads = [block.attn.num_heads for _, blocks, _ in self.layers for block in blocks]
        return sum(heads[len(heads) - self.num_attn_blocks :])

    def forward(self, x: Tensor) -> Maps:
        """Normalised images ``(B, 3, H, W)`` -> the maps of ``out_indices``, finest first."""
        return self._run(x, 0)[0]

    def forward_with_attn(self, x: Tensor) -> tuple[Maps, tuple[AttentionLogits, ...]]:
        """Maps as :meth:`forward`, and the logits of the last ``num_attn_blocks`` blocks.

        Returns:
            The logits are factors of ``(B, heads, M, M)`` each, see :func:`attend`, last block
            last.
        """
        return self._run(x, self.num_attn_blocks)

    def _run(self, x: Tensor, num_logits: int) -> tuple[Maps, tuple[AttentionLogits, ...]]:
        first = sum(self.num_layers) - num_logits
        maps, attn, index = [], [], 0
        for i, (embed, blocks, norm) in enumerate(self.layers):
            x, grid = embed(x)
            for block in blocks:
                x, logits = self._block(block, x, grid, index >= first)
                if logits is not None:
                    attn.append(logits)
                index += 1
            x = nlc_to_nchw(norm(x), grid)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps), tuple(attn)

    def _block(
        self, block: TransformerEncoderLayer, x: Tensor, grid: tuple[int, int], need_logits: bool
    ) -> tuple[Tensor, AttentionLogits | None]:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(run_block, block, x, grid, need_logits, use_reentrant=False)
        return run_block(block, x, grid, need_logits)
