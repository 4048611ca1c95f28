"""WeCLIP+: frozen CLIP and frozen DINOv2 with one decoder."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.clip_vit import CLIPFeatures, CLIPRequest
from mmwsss.models.utils.clip_cam import CLIPCAMs, clip_cams, label_of_pairs
from mmwsss.models.utils.clip_decoder import check_clip_decoder, check_text_classes
from mmwsss.models.utils.widths import check_width
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.utils.arguments import WHOLE, checked, number
from mmwsss.utils.checks import check_choice, check_range

from .base import TestSettings
from .single_stage import SingleStageWSSS


@dataclass(frozen=True)
class WeCLIPPlusSettings(TestSettings):
    """One view for maps, at ``long_side``.

    Attributes:
        branch: Whose logits are the segmentation: ``'mix'``, the mean, or ``'clip'`` or
            ``'dino'`` alone.
    """

    branches: ClassVar[tuple[str, ...]] = ('mix', 'clip', 'dino')

    branch: str = 'mix'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice('test_cfg.branch', self.branch, self.branches)


@MODELS.register_module()
@checked(cam_source=number(high=-1, integer=True), relabel_start=WHOLE)
class WeCLIPPlus(SingleStageWSSS):
    """WeCLIP with DINOv2 beside CLIP: two branches learn from the labels and from each other.

    Paper: Zhang et al., "Frozen CLIP-DINO: a Strong Backbone for Weakly Supervised Semantic
    Segmentation", TPAMI 2025, doi 10.1109/TPAMI.2025.3543191. Official code: zbf1991/WeCLIP,
    folder WeCLIP+.

    The code is followed where it differs from the paper (docs/weclip_plus.md).

    Args:
        backbone: :class:`mmwsss.models.backbones.FrozenCLIP`.
        dino: :class:`mmwsss.models.backbones.FrozenDINOv2`.
        decode_head: :class:`mmwsss.models.decode_heads.WeCLIPPlusHead`.
        text: :class:`mmwsss.models.text_encoders.TextBank`.
        refiner: :class:`mmwsss.models.refiners.CLIPAffinityRefiner`; always gated,
            without a static phase.
        par: :class:`mmwsss.models.refiners.PAR`.
        cam_source: Tokens that Grad-CAM's last block sees; see
            :func:`mmwsss.models.utils.clip_cam.clip_cams`. -2 (VOC) or -1 (COCO).
        relabel_start: Iteration from which confident pixels take the network's own class; None:
            never.
        kwargs: Arguments of :class:`SingleStageWSSS`; ``test_cfg``: :class:`WeCLIPPlusSettings`.
            ``maps='plain'`` are the Grad-CAM maps.

    Raises:
        ValueError: Parts do not fit each other, or see :class:`SingleStageWSSS`.
    """

    loss_names = ('loss_seg', 'loss_dice', 'loss_consistency', 'loss_affinity')
    settings_type = WeCLIPPlusSettings

    def __init__(
        self,
        backbone: dict,
        dino: dict,
        decode_head: dict,
        text: dict,
        refiner: dict,
        par: dict,
        cam_source: int = -1,
        relabel_start: int | None = None,
        **kwargs,
    ) -> None:
        parts = dict(
            backbone=backbone,
            dino=dino,
            decode_head=decode_head,
            text=text,
            refiner=refiner,
            par=par,
        )
        super().__init__(parts, **kwargs)
        check_range('cam_source', cam_source, 1 - self.backbone.num_layers, -1, integer=True)
        self.cam_source, self.relabel_start = cam_source, relabel_start
        check_clip_decoder(self.decode_head, self.backbone, 1, 'the last but one block')
        check_text_classes(self.decode_head, self.text.num_classes)
        self.refiner.check(self.backbone.num_layers, ('gated',))
        width = self.decode_head.dino_layer[0].in_features
        given = 'the width of the tokens of dino.checkpoint'
        check_width('decode_head.dino_channels', width, given, self.dino.embed_dims)
        self.text.encode(self.backbone)
        self.backbone.drop_text()

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.text.num_classes

    def branches(
        self, inputs: Tensor, features: CLIPFeatures, dino: tuple | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of both branches and the affinity.

        Args:
            inputs: Normalised ``(B, 3, H, W)``.
            features: Of CLIP.
            dino: Tokens and grid of DINOv2, if they are known.

        Returns:
            See :class:`mmwsss.models.decode_heads.WeCLIPPlusHead`.
        """
        dino = self.dino.encode(inputs) if dino is None else dino
        return self.decode_head(features.tokens[-1], features.grid, *dino)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> ``seg_logits`` at CLIP's resolution ``(B, C, h, w)``."""
        clip, dino, _ = self.branches(inputs, self.backbone.encode(inputs))
        return dict(mix=0.5 * (clip + dino), clip=clip, dino=dino)[self.settings.branch]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against the pseudo labels of this very iteration."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        features = self.backbone.encode(inputs, CLIPRequest(attn=self.refiner.gated_last))
        clip, dino, affinity = self.branches(inputs, features)
        _, refined = self.make_cams(features, clip, dino, affinity, image_labels)
        pseudo_label = self.make_pseudo_label(inputs, refined, inputs.shape[-2:]).label
        relabel = self.relabel_start is not None and self.phase(self.relabel_start)
        losses = self.decode_head.losses(clip, dino, affinity, pseudo_label, relabel)
        return self.weigh_losses(losses)

    @torch.no_grad()
    def make_cams(
        self,
        features: CLIPFeatures,
        clip_logits: Tensor,
        dino_logits: Tensor,
        affinity: Tensor,
        image_labels: Tensor,
    ) -> tuple[CLIPCAMs, CLIPCAMs]:
        """Grad-CAM of every class in the image labels, and its refinement.

        Every map is weighted by the probability that both branches together give its class.

        Args:
            features: With the attention maps that the refiner needs.
            clip_logits, dino_logits: ``(B, C, h, w)``.
            affinity: ``(B, N, N)``.
            image_labels: Multi-hot ``(B, C_fg)``.

        Returns:
            Plain and refined maps at patch resolution, plain ones in [0, 1].
        """
        with torch.autocast(affinity.device.type, enabled=False):
            plain = clip_cams(self.backbone, self.text, features, image_labels, self.cam_source)
            prob = (0.5 * (clip_logits + dino_logits)).float().softmax(dim=1)
            weight = prob[plain.image_index, plain.labels + 1]
            refined = self.refiner(
                plain.maps, plain.attn, affinity, plain.image_index, True, weight
            )
        return plain, replace(plain, maps=refined)

    def make_pseudo_label(self, image: Tensor, found: CLIPCAMs, size: tuple[int, int]) -> Maps:
        """Full-size maps and pseudo label; see :func:`label_of_pairs`."""
        return label_of_pairs(self.par, image, found.maps, found.labels, found.image_index, size)

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Grad-CAM or its refinement, and the pseudo mask that PAR makes of it."""
        view = self.test_view(inputs)
        features = self.backbone.encode(view, CLIPRequest(attn=self.refiner.gated_last))
        logits_and_affinity = self.branches(view, features)
        plain, refined = self.make_cams(features, *logits_and_affinity, image_labels)
        found = plain if self.settings.maps == 'plain' else refined
        return self.make_pseudo_label(view, found, inputs.shape[-2:])
