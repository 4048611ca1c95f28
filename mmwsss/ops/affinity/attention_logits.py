"""Attention logits that are not formed until somebody needs all of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AttentionLogits:
    """``q_h k_h^T`` of every head h, neither scaled nor normalised, as its two factors.

    Attributes:
        query, key: ``(B, heads, M, d)``.
    """

    query: Tensor
    key: Tensor

    @property
    def num_heads(self) -> int:
        """Heads of the attention."""
        return self.query.shape[1]

    def __getitem__(self, images: slice) -> AttentionLogits:
        """The logits of some images of the batch."""
        return AttentionLogits(self.query[images], self.key[images])

    def dense(self) -> Tensor:
        """All logits ``(B, heads, M, M)``."""
        return self.query @ self.key.transpose(-2, -1)

    def mix(self, weight: Tensor) -> Tensor:
        """``sum_h w_h q_h k_h^T``: one product, whatever the number of heads.

        Args:
            weight: ``(heads,)``.

        Returns:
            ``(B, M, M)``.
        """
        query = (self.query * weight[:, None, None]).transpose(1, 2).flatten(2)
        return query @ self.key.transpose(1, 2).flatten(2).transpose(1, 2)
