"""Affinity from attention (AFA, arXiv 2203.02664, section 3.3)."""

import math
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.ops.affinity import affinity_label
from mmwsss.ops.affinity.attention_logits import AttentionLogits
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked


@MODELS.register_module()
@checked(in_channels=COUNT, radius=COUNT)
class AttentionAffinityHead(BaseModule):
    """Symmetric affinity of the cells of a feature map, from the attention that made it.

    ``A = sigmoid(sum_h w_h (S_h + S_h^T) + b)`` over the attention logits S of all heads of the
    last blocks. The logits are not detached: the loss trains queries and keys, and all before them.

    Args:
        in_channels: Heads of all blocks together, 16 for the last two of MiT-B1.
        radius: Pairs further apart (Chebyshev, in cells) get no target.
        loss_affinity: Loss on the affinity.
        init_cfg: See :class:`mmengine.model.BaseModule`. None: Kaiming-normal weights as the
            official code.
    """

    def __init__(
        self,
        in_channels: int = 16,
        radius: int = 8,
        loss_affinity: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.radius = in_channels, radius
        self.proj = nn.Conv2d(in_channels, 1, 1)
        nn.init.kaiming_normal_(self.proj.weight, a=math.sqrt(5), mode='fan_out')
        self.loss_affinity = MODELS.build(
            loss_affinity or dict(type='mmwsss.AffinityLoss', loss_weight=1.0)
        )

    def forward(self, attn: Sequence[AttentionLogits]) -> Tensor:
        """Attention logits of each block -> affinity ``(B, N, N)`` in (0, 1).

        Raises:
            ValueError: The blocks do not have ``in_channels`` heads in all.
        """
        heads = [logits.num_heads for logits in attn]
        if sum(heads) != self.proj.in_channels:
            raise ValueError(
                f'the attention has {heads} heads, but affinity_head.in_channels is '
                f'{self.proj.in_channels}: set it to {sum(heads)}'
            )
        # the projection commutes with the transposition, and leaves one map to transpose
        weights = self.proj.weight.flatten().split(heads)
        mixed = sum(logits.mix(weight) for logits, weight in zip(attn, weights, strict=True))
        return (mixed + mixed.transpose(1, 2) + self.proj.bias).sigmoid()

    def loss(self, affinity: Tensor, label: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Loss of ``(B, N, N)`` against a label map ``(B, H, W)`` taken on the (h, w) cells."""
        target = affinity_label(label, grid, self.radius)
        return dict(loss_affinity=self.loss_affinity(affinity, target))
