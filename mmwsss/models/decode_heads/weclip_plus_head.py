"""WeCLIP+'s decoder, shared by the features of CLIP and of DINOv2."""

import torch
from torch import Tensor, nn

from mmwsss.ops.affinity import affinity_label
from mmwsss.ops.losses import dice_loss, relabel_confident
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, SHARE, WEIGHT, checked

from .weclip_head import WeCLIPHead


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    dino_channels=COUNT,
    num_classes=CLASSES,
    confident=SHARE,
    consistency_weight=WEIGHT,
)
class WeCLIPPlusHead(WeCLIPHead):
    """Two fusion parts, of one token set each, and one decoder for both.

    Args:
        in_channels: Width of the CLIP tokens.
        dino_channels: Width of the DINOv2 tokens.
        num_classes: Classes with background.
        confident: Probability above which the network's own class replaces the pseudo label, once
            that has begun.
        consistency_weight: Of the loss that each branch has on the other's segmentation.
        kwargs: Arguments of :class:`WeCLIPHead`.
    """

    def __init__(
        self,
        in_channels: int,
        dino_channels: int,
        num_classes: int,
        confident: float = 0.75,
        consistency_weight: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_layers=1, num_classes=num_classes, **kwargs)
        channels = self.fusion.out_channels
        self.dino_layer = nn.Sequential(
            nn.Linear(dino_channels, channels), nn.ReLU(), nn.Linear(channels, channels)
        )
        self.dino_fusion = nn.Conv2d(channels, channels, 1)
        self.confident, self.consistency_weight = confident, consistency_weight

    def fuse_both(
        self, tokens: Tensor, grid: tuple[int, int], dino: Tensor, dino_grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """What the decoder sees of CLIP and of DINOv2.

        Args:
            tokens: Of CLIP ``(B, 1 + h*w, C)``, class token first.
            grid: (h, w).
            dino: Of DINOv2 ``(B, 1 + h'*w', C')``, class token first.
            dino_grid: (h', w').

        Returns:
            ``(B, channels, h, w)`` each, on CLIP's grid.
        """
        patches = self.dino_layer(dino[:, 1:]).transpose(1, 2).unflatten(2, dino_grid)
        patches = self.dropout(self.dino_fusion(patches))
        return self.fuse([tokens], grid), upsample(patches, grid)

    def forward(
        self, tokens: Tensor, grid: tuple[int, int], dino: Tensor, dino_grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of CLIP's and of DINOv2's branch ``(B, num_classes, h, w)``, and the affinity."""
        both = self.fuse_both(tokens, grid, dino, dino_grid)
        clip_logits, dino_logits = map(self.decode, both)
        return clip_logits, dino_logits, self.predict_affinity(torch.cat(both, dim=1))

    def losses(
        self,
        clip_logits: Tensor,
        dino_logits: Tensor,
        affinity: Tensor,
        pseudo_label: Tensor,
        relabel: bool,
    ) -> dict[str, Tensor]:
        """Losses of both branches and their mean.

        Args:
            clip_logits, dino_logits, affinity: As :meth:`forward` returns.
            pseudo_label: ``(B, H, W)``.
            relabel: Whether confident pixels take the network's own class.
        """
        size, grid = pseudo_label.shape[-2:], clip_logits.shape[-2:]
        mix = upsample(0.5 * (clip_logits + dino_logits), size)
        clip_logits, dino_logits = upsample(clip_logits, size), upsample(dino_logits, size)
        target = affinity_label(pseudo_label, grid, self.affinity_radius)
        if relabel:
            pseudo_label = relabel_confident(mix, pseudo_label, self.confident)
        consistency = self.loss_seg(clip_logits, dino_logits.argmax(dim=1)) + self.loss_seg(
            dino_logits, clip_logits.argmax(dim=1)
        )
        return dict(
            loss_seg=self.loss_seg(mix, pseudo_label),
            loss_dice=dice_loss(mix, pseudo_label),
            loss_consistency=self.consistency_weight * consistency,
            loss_affinity=self.loss_affinity(affinity, target),
        )
