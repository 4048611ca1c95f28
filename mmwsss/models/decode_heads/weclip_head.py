"""WeCLIP's light decoder on frozen CLIP tokens (arXiv 2406.11189, section 3.2)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn

from mmwsss.ops.affinity import AFFINITIES, affinity_label, predict_affinity
from mmwsss.ops.clip.vit import run_block
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, FLAG, SHARE, WHOLE, checked, one_of


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    num_layers=WHOLE,
    num_classes=CLASSES,
    channels=COUNT,
    num_blocks=WHOLE,
    num_heads=COUNT,
    dropout_ratio=SHARE,
    affinity_radius=COUNT,
    half_rounding=FLAG,
    affinity=one_of(*AFFINITIES),
)
class WeCLIPHead(BaseModule):
    """One MLP per CLIP block, fusion, three transformer blocks, prediction.

    Args:
        in_channels: Width of the CLIP tokens.
        num_layers: Number of CLIP blocks that feed the head.
        num_classes: Classes with background.
        channels: Width of the decoder.
        num_blocks: Transformer blocks.
        num_heads: Heads of each.
        dropout_ratio: Dropout2d behind the fusion.
        affinity_radius: Pairs of patches further apart get no affinity target.
        loss_seg: Loss on the pseudo label.
        loss_affinity: Loss on the predicted affinity.
        half_rounding: Run attention's output projection in half precision as the official code.
        affinity: See ``kind`` of :func:`mmwsss.ops.affinity.predict_affinity`.

    Raises:
        ValueError: Unknown ``affinity``.
    """

    def __init__(
        self,
        in_channels: int,
        num_layers: int,
        num_classes: int,
        channels: int = 256,
        num_blocks: int = 3,
        num_heads: int = 8,
        dropout_ratio: float = 0.1,
        affinity_radius: int = 8,
        loss_seg: dict | None = None,
        loss_affinity: dict | None = None,
        half_rounding: bool = False,
        affinity: str = 'dot',
    ) -> None:
        super().__init__()
        self.affinity = affinity
        self.num_classes = num_classes
        self.affinity_radius = affinity_radius
        self.half_rounding = half_rounding
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(in_channels, channels), nn.ReLU(), nn.Linear(channels, channels)
            )
            for _ in range(num_layers)
        )
        self.fusion = nn.Conv2d(channels * num_layers, channels, 1)
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.blocks = nn.ModuleList(
            ResidualAttentionBlock(channels, num_heads, act_layer=QuickGELU)
            for _ in range(num_blocks)
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.loss_seg = MODELS.build(loss_seg or dict(type='mmwsss.BalancedCrossEntropy'))
        self.loss_affinity = MODELS.build(loss_affinity or dict(type='mmwsss.AffinityLoss'))

    def fuse(self, tokens: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Feature map of all blocks' tokens.

        Args:
            tokens: One ``(B, 1 + h*w, C)`` per block, class token first.
            grid: (h, w).

        Returns:
            ``(B, channels, h, w)``.
        """
        fused = torch.cat([mlp(t[:, 1:]) for mlp, t in zip(self.layers, tokens, strict=True)], -1)
        return self.dropout(self.fusion(fused.transpose(1, 2).unflatten(2, grid)))

    def decode(self, features: Tensor) -> Tensor:
        """``(B, channels, h, w)`` -> ``seg_logits`` ``(B, num_classes, h, w)``."""
        x = features.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = run_block(block, x, half=self.half_rounding).tokens
        return self.classifier(x.transpose(1, 2).unflatten(2, features.shape[-2:]))

    def forward(self, tokens: Sequence[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """``seg_logits`` ``(B, num_classes, h, w)`` and affinity ``(B, h*w, h*w)``."""
        features = self.fuse(tokens, grid)
        return self.decode(features), self.predict_affinity(features)

    def predict_affinity(self, features: Tensor) -> Tensor:
        """Fused features ``(B, channels, h, w)`` -> affinity ``(B, h*w, h*w)``."""
        return predict_affinity(features, self.affinity)

    def loss_by_feat(
        self,
        seg_logits: Tensor,
        affinity: Tensor,
        pseudo_label: Tensor,
        affinity_source: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses against the pseudo label.

        Args:
            seg_logits, affinity: As :meth:`forward` returns.
            pseudo_label: ``(B, H, W)``.
            affinity_source: Label map from which the affinity's targets are made, if it is
                another one.
        """
        grid = seg_logits.shape[-2:]
        upsampled = nn.functional.interpolate(
            seg_logits, size=pseudo_label.shape[-2:], mode='bilinear', align_corners=False
        )
        source = pseudo_label if affinity_source is None else affinity_source
        target = affinity_label(source, grid, self.affinity_radius)
        return dict(
            loss_seg=self.loss_seg(upsampled, pseudo_label),
            loss_affinity=self.loss_affinity(affinity, target),
        )
