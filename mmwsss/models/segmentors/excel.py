"""ExCEL: patch-text alignment with a frozen CLIP."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.clip_decoder import check_clip_decoder, check_text_classes
from mmwsss.ops.clip.patch_text import flip_max
from mmwsss.ops.multi_view import merge_logits, pair_means
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels
from mmwsss.utils.arguments import WHOLE, checked
from mmwsss.utils.checks import check_flag, check_range

from .patch_text_maps import PatchTextMaps, PatchTextSettings
from .single_stage import SingleStageWSSS


@dataclass(frozen=True)
class ExCELSettings(PatchTextSettings):
    """Everything is made of square views, as published.

    Attributes:
        merge_scale: The logits of the views meet at this share of the image's size: 1 (VOC) or
            0.2 (COCO).
        first_unflipped: Leave the mirror image of the first view out, as the official test of
            VOC does by mistake.
    """

    not_used: ClassVar = ('long_side', 'scales', 'merge')
    seg_only: ClassVar = ('flip', 'crf')

    sizes: Sequence[int] = (320,)
    merge_scale: float = 1.0
    first_unflipped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.merge_scale', self.merge_scale, 0, 1, open_low=True)
        check_flag('test_cfg.first_unflipped', self.first_unflipped)
        if self.first_unflipped and not self.flip:
            raise ValueError('test_cfg.first_unflipped needs test_cfg.flip=True')


@MODELS.register_module()
@checked(self_target_start=WHOLE)
class ExCEL(SingleStageWSSS, PatchTextMaps):
    """Frozen CLIP compares its patches with class texts; a light decoder learns from the masks
    that this gives, and its affinity calibrates CLIP in return.

    Paper: Yang et al., "Exploring CLIP's Dense Knowledge for Weakly Supervised Semantic
    Segmentation", CVPR 2025, arXiv 2503.20826. Official code: zwyang6/ExCEL.

    Where paper and code differ the code is followed (docs/excel.md). What the published weights
    were trained with is kept: the norm over tokens, the token sets, means over the whole batch.
    Different here: the calibrated maps need no second pass through CLIP, crops are not chosen by
    true masks, images of any size and without labels work.

    Args:
        backbone: :class:`mmwsss.models.backbones.SurgeryCLIP`.
        text: :class:`mmwsss.models.text_encoders.AttributeTextBank`.
        refiner: :class:`mmwsss.models.refiners.CLIPAffinityRefiner`; from ``gated_start`` on, the
            maps are calibrated, too.
        par: :class:`mmwsss.models.refiners.PAR`.
        decode_head: :class:`mmwsss.models.decode_heads.WeCLIPHead` with ``affinity='centred'`` and
            a layer per CLIP block.
        self_target_start: Iteration from which the affinity's targets are the network's own
            segmentation, 24000 for VOC; None: never.
        kwargs: Arguments of :class:`SingleStageWSSS`; ``test_cfg``: :class:`ExCELSettings`.
            ``maps='plain'`` are the patch-text maps.

    Raises:
        ValueError: Parts or settings do not fit each other, or see :class:`SingleStageWSSS`.
    """

    loss_names = ('loss_seg', 'loss_affinity')
    settings_type = ExCELSettings

    def __init__(
        self,
        backbone: dict,
        text: dict,
        refiner: dict,
        par: dict,
        decode_head: dict,
        self_target_start: int | None = None,
        **kwargs,
    ) -> None:
        parts = dict(
            backbone=backbone, text=text, refiner=refiner, par=par, decode_head=decode_head
        )
        super().__init__(parts, **kwargs)
        self.self_target_start = self_target_start
        check_clip_decoder(
            self.decode_head, self.backbone, self.backbone.num_layers, 'one per CLIP block'
        )
        check_text_classes(self.decode_head, self.text.num_classes)
        self.prepare([self.settings.side, *self.settings.sizes])

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> ``seg_logits`` at patch resolution ``(B, C, h, w)``."""
        features = self.backbone.encode_surgery(inputs)
        return self.decode_head(features.tokens, features.grid)[0]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against the pseudo labels of this very iteration."""
        self.check_sides(inputs.shape[-2:])
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        calibrated = self.phase(self.refiner.gated_start)
        features = self.backbone.encode_surgery(inputs, self.refiner.num_attn(calibrated))
        fused = self.decode_head.fuse(features.tokens, features.grid)
        seg_logits = self.decode_head.decode(fused)
        affinity = self.decode_head.predict_affinity(fused)
        maps = self.patch_text_maps(features, fused if calibrated else None)
        refined = self.refine(maps, features, image_labels, affinity if calibrated else None)
        size = inputs.shape[-2:]
        label = self.make_pseudo_label(self.pixels(inputs), refined, image_labels, size).label
        source = None
        if self.self_target_start is not None and self.phase(self.self_target_start):
            source = upsample(seg_logits.detach(), size).max(dim=1).indices
        losses = self.decode_head.loss_by_feat(seg_logits, affinity, label, source)
        return self.weigh_losses(losses)

    def maps_of_view(self, view: Tensor, image_labels: Tensor) -> Tensor:
        """See :class:`PatchTextMaps`; of the image and its mirror image, calibrated."""
        batch = torch.cat([view, view.flip(-1)])
        features = self.backbone.encode_surgery(batch, self.refiner.gated_last)
        fused = self.decode_head.fuse(features.tokens, features.grid)
        maps = flip_max(self.patch_text_maps(features, fused))
        if self.settings.maps == 'plain':
            return maps[0, image_labels[0] > 0]
        affinity = self.decode_head.predict_affinity(fused[:1])
        upright = replace(features, attn=features.attn[:, :1])
        return self.refine(maps, upright, image_labels, affinity)

    def merged_logits(self, inputs: Tensor) -> Tensor:
        """Mean of the logits of all views at ``merge_scale`` of the size of the image."""
        cfg = self.settings
        size = tuple(int(cfg.merge_scale * side) for side in inputs.shape[-2:])
        views = self.view_maps(self.encode_decode, inputs)
        if cfg.flip and cfg.first_unflipped:
            views = _first_unflipped(views)
        return merge_logits(views, size)


def _first_unflipped(views: Iterator[Tensor]) -> Iterator[Tensor]:
    """Means of the views and their mirror images, but of the first the view alone."""
    yield next(views)
    next(views)
    yield from pair_means(views)
