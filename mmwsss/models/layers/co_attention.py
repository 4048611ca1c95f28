"""Texts that look at an image, and an image that looks at texts."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.ops.clip.vit import join_heads, split_heads
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, checked


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """``(B, N, C)`` asks ``(B, M, C)``."""
        q, k, v = self.q_proj(x), self.k_proj(memory), self.v_proj(memory)
        q, k, v = (split_heads(t, self.heads) for t in (q, k, v))
        return self.proj_drop(self.proj(join_heads(F.scaled_dot_product_attention(q, k, v))))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads, dropout)
        self.cross_attn = _Attention(width, heads, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, width * 4),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width * 4, width),
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.norm2(x), memory)
        return x + self.dropout(self.mlp(self.norm3(x)))


@MODELS.register_module()
@checked(dim=COUNT, width=COUNT, heads=COUNT, dropout=SHARE, decouple=FLAG)
class CoAttentionDecoder(BaseModule):
    """Residuals of texts given the image, and of the image given the texts (WeakCLIP).

    One layer each: the official ``ContextDecoder`` has three, but gives all of them the same input
    and keeps the result of the last alone, so the others never matter.

    Args:
        dim: Width of CLIP's embeddings.
        width: Width within.
        heads: Attention heads.
        dropout: Behind projections and within the MLP.
        decouple: Also the residual of the image (official ``if_decouple``).
    """

    def __init__(
        self,
        dim: int = 512,
        width: int = 256,
        heads: int = 4,
        dropout: float = 0.1,
        decouple: bool = True,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f'co_attention.width={width} is no multiple of heads={heads}')
        self.dim, self.decouple = dim, decouple
        self.visual_proj = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, width), nn.LayerNorm(width)
        )
        self.text_proj = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.text_layer = _Layer(width, heads, dropout)
        self.text_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        if decouple:
            self.visual_layer = _Layer(width, heads, dropout)
            self.visual_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        self._draw()

    def _draw(self) -> None:
        """Official initialisation."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, text: Tensor, visual: Tensor) -> tuple[Tensor, Tensor | None]:
        """Residuals.

        Args:
            text: ``(B, K, dim)``.
            visual: ``(B, 1 + N, dim)``, the class token first.

        Returns:
            Like ``text``, and like ``visual`` (None without ``decouple``).
        """
        text, visual = self.text_proj(text), self.visual_proj(visual)
        text_residual = self.text_out(self.text_layer(text, visual))
        if not self.decouple:
            return text_residual, None
        return text_residual, self.visual_out(self.visual_layer(visual, text))
