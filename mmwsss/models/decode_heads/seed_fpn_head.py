"""Semantic FPN that learns from seeds and from a CRF of its own prediction."""

import torch.nn.functional as F
from mmseg.models.decode_heads import FPNHead
from torch import Tensor

from mmwsss.ops.dense_crf import PRESETS
from mmwsss.ops.dense_crf.target import crf_target
from mmwsss.ops.graph_seeds import cut_seeds, knn_graph
from mmwsss.ops.losses import floored_softmax
from mmwsss.ops.losses.seeds import boundary_loss, label_cues, seeding_loss
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, FLAG, SHARE, checked, number, one_of, several


@MODELS.register_module()
@checked(
    loss_size=several(number(2, integer=True), 2),
    graph_cut=FLAG,
    neighbours=COUNT,
    crf=one_of(*PRESETS),
    num_classes=CLASSES,
    channels=COUNT,
    dropout_ratio=SHARE,
)
class SeedFPNHead(FPNHead):
    """FPN head with the seeding and the boundary loss of DSRG (official ``FPNHeadDGCN``).

    Args:
        loss_size: Grid of the losses (h, w), 64 x 64 in WeakCLIP.
        graph_cut: Seeds grow by graph cuts, image by image (:func:`cut_seeds`): slow, and not used
            by the published configs.
        neighbours: Of :func:`knn_graph`, with ``graph_cut``.
        crf: Preset of the CRF whose posterior is the target.
        kwargs: Arguments of mmseg's ``FPNHead``.
    """

    def __init__(
        self,
        *args,
        loss_size: tuple[int, int] = (64, 64),
        graph_cut: bool = False,
        neighbours: int = 10,
        crf: str = 'psa',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.loss_size = tuple(loss_size)
        self.graph_cut, self.neighbours, self.crf = graph_cut, neighbours, crf

    def features(self, inputs: list[Tensor]) -> Tensor:
        """The sum of all levels ``(B, C, h, w)``, at the finest resolution."""
        levels = self._transform_inputs(inputs)
        total = self.scale_heads[0](levels[0])
        for head, level in zip(self.scale_heads[1:], levels[1:], strict=True):
            maps = head(level)
            total = total + F.interpolate(
                maps, size=total.shape[2:], mode='bilinear', align_corners=self.align_corners
            )
        return total

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Levels, finest first -> logits ``(B, K, h, w)``."""
        return self.cls_seg(self.features(inputs))

    def losses(
        self, inputs: list[Tensor], label: Tensor, images: Tensor, target: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses against label maps.

        Args:
            inputs: Levels, finest first.
            label: ``(B, H, W)`` int64, 255 unknown.
            images: On the grid of the loss, ``(B, *loss_size, 3)`` uint8, for the CRF.
            target: In place of the CRF's posterior, ``(B, K, *loss_size)``.
        """
        features = self.features(inputs)
        prob = floored_softmax(self._on_grid(self.cls_seg(features)), 1e-7)
        cues = label_cues(label, self.num_classes, self.loss_size)
        if self.graph_cut:
            cues = cut_seeds(prob, cues, knn_graph(self._on_grid(features), self.neighbours))
        if target is None:
            target = crf_target(prob, images, preset=self.crf)
        return dict(
            loss_seeding=seeding_loss(prob, cues), loss_boundary=boundary_loss(prob, target)
        )

    def _on_grid(self, maps: Tensor) -> Tensor:
        odd = all(side % 2 for side in self.loss_size)
        return F.interpolate(maps.float(), size=self.loss_size, mode='bilinear', align_corners=odd)
