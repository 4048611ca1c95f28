"""1-Stage: one segmentation network, trained end to end with image labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.widths import check_map_widths, map_channels
from mmwsss.ops.losses.class_balanced import class_balanced_cross_entropy
from mmwsss.ops.losses.ngwp import labelled_mask_size
from mmwsss.ops.multi_view.canvas import PADS, canvas_views, merge_canvas_views, restrict_classes
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.pseudo_label.relative import relative_label
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.utils.arguments import SHARE, WHOLE, checked
from mmwsss.utils.checks import check_choice, check_range

from .base import TestSettings
from .single_stage import SingleStageWSSS


@dataclass(frozen=True)
class OneStageSettings(TestSettings):
    """Masks of all views are averaged; ``scales``, ``flip``, ``pad`` and ``canvas`` make the views
    (:func:`mmwsss.ops.multi_view.canvas.canvas_views`), for ``'seg'`` and for ``'cam'``.

    Attributes:
        pad, canvas: See there.
        views_per_batch: So many views of one size run as one batch.
        score_threshold: ``'seg'`` may use the classes whose probability is above it in any view.
        background_power: Sharpens the background, before the CRF.
    """

    maps_choices: ClassVar = ('plain',)
    not_used: ClassVar = ('long_side', 'sizes', 'resize', 'merge')
    seg_only: ClassVar = ()

    maps: str = 'plain'
    pad: str = 'none'
    canvas: int | Sequence[int] = 1024
    views_per_batch: int = 2
    score_threshold: float = 0.1
    background_power: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice('test_cfg.pad', self.pad, PADS)
        for side in (self.canvas,) if isinstance(self.canvas, int) else self.canvas:
            check_range('test_cfg.canvas', side, 1, integer=True)
        check_range('test_cfg.views_per_batch', self.views_per_batch, 1, integer=True)
        check_range('test_cfg.score_threshold', self.score_threshold, 0, 1)
        check_range('test_cfg.background_power', self.background_power, 0, open_low=True)


@MODELS.register_module()
@checked(mask_loss_start=WHOLE, label_low=SHARE, label_foreground=SHARE, label_background=SHARE)
class OneStage(SingleStageWSSS):
    """The network's soft masks give class scores, and, refined, the labels they learn from.

    Paper: Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020,
    arXiv 2005.08104. Official code: visinf/1-stage-wseg.

    Where paper and code differ the code is followed (the kernel of PAMR, the constants of the
    pooling). Different here: the phase depends on the training iteration, not on the epoch; no
    pseudo label is made before it is used; only the classes of an image are refined; the labels
    of an image are used in evaluation only if ``test_cfg.predict`` says so.

    Args:
        backbone: Gives shallow features at stride 4 and deep ones
            (:class:`mmwsss.models.backbones.ResNet38d` with ``out_indices=(4, 3)``).
        decode_head: :class:`mmwsss.models.decode_heads.OneStageHead`.
        refiner: :class:`mmwsss.models.refiners.PAMR`.
        mask_loss_start: Training iterations with the classification loss alone: five epochs, 3305
            iterations of 16 images of VOC.
        label_low, label_foreground, label_background: See
            :func:`mmwsss.ops.pseudo_label.relative.relative_label`.
        kwargs: Arguments of :class:`SingleStageWSSS`; ``test_cfg``: :class:`OneStageSettings`.

    Raises:
        ValueError: The head does not fit the backbone, a data preprocessor without mean and std, or
            see :class:`SingleStageWSSS`.
    """

    settings_type = OneStageSettings
    loss_names = ('loss_cls', 'loss_mask')

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        refiner: dict,
        mask_loss_start: int,
        label_low: float = 0.2,
        label_foreground: float = 0.6,
        label_background: float = 0.7,
        **kwargs,
    ) -> None:
        parts = dict(backbone=backbone, decode_head=decode_head, refiner=refiner)
        super().__init__(parts, **kwargs)
        widths, maps = self.decode_head.in_channels, map_channels(self.backbone)
        check_map_widths('decode_head', widths, (0, -1), maps)
        self.mask_loss_start = mask_loss_start
        self.thresholds = (label_low, label_foreground, label_background)
        if not hasattr(self.data_preprocessor, 'mean'):
            raise ValueError(
                'OneStage looks at pixel colours: give data_preprocessor (SegDataPreProcessor) '
                'the mean and std of the normalisation'
            )

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Classification loss and, later, the mask loss against refined masks.

        ``mask_size`` (mean share of an image that the mask of one of its classes covers) and
        ``mask_images`` (share of the images with a mask loss) are for the log.
        """
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        logits = self.encode_decode(inputs)
        masks = logits.softmax(dim=1)
        scores = self.decode_head.scores(logits, masks)
        losses = dict(
            loss_cls=F.multilabel_soft_margin_loss(scores, image_labels),
            mask_size=labelled_mask_size(masks[:, 1:].detach(), image_labels).mean(),
        )
        if self.phase(self.mask_loss_start):
            label = self.make_pseudo_label(inputs, masks, image_labels)
            per_image = class_balanced_cross_entropy(logits, label, image_labels)
            losses['loss_mask'] = per_image.mean()
            losses['mask_images'] = (per_image > 0).float().mean()
        return self.weigh_losses(losses)

    def make_pseudo_label(self, inputs: Tensor, masks: Tensor, image_labels: Tensor) -> Tensor:
        """Confident pixels of the refined masks (section 3.2).

        Args:
            inputs: Normalised ``(B, 3, H, W)``.
            masks: Softmax of the logits ``(B, 1 + K, h, w)``.
            image_labels: Multi-hot ``(B, K)``.

        Returns:
            ``(B, H, W)`` int64, 255 for ignored pixels.
        """
        refined, classes = self.refine_masks(inputs, masks, image_labels)
        return relative_label(refined, classes, *self.thresholds)

    @torch.no_grad()
    def refine_masks(
        self, inputs: Tensor, masks: Tensor, image_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine the masks of the background and of the classes of every image.

        Args:
            inputs, masks, image_labels: See :meth:`make_pseudo_label`.

        Returns:
            ``(B, 1 + M, H, W)`` for at most M classes per image, and the classes ``(B, M)``,
            0-based, -1 for none (their masks are 0).
        """
        packed, classes = pack_present(masks[:, 1:], image_labels)
        packed = torch.cat([masks[:, :1], packed], dim=1)
        # black areas are exactly 0 and stay flat when they are resized
        refined = self.refiner(self.pixels(inputs, truncated=False) / 255, packed)
        size = inputs.shape[-2:]
        refined = F.interpolate(refined, size=size, mode='bilinear', align_corners=True)
        return refined, classes

    def score_and_segment(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores and masks of one view.

        Args:
            inputs: Normalised ``(B, 3, H, W)``.

        Returns:
            Scores ``(B, K)`` and masks ``(B, 1 + K, H, W)`` that sum to 1.
        """
        logits = self.encode_decode(inputs)
        masks = logits.softmax(dim=1)
        scores = self.decode_head.scores(logits, masks)
        size = inputs.shape[-2:]
        return scores, F.interpolate(masks, size=size, mode='bilinear', align_corners=True)

    def merged_masks(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Best class scores ``(B, K)`` and mean masks ``(B, 1 + K, H, W)`` of all views."""
        cfg, norm = self.settings, self.data_preprocessor
        views = canvas_views(inputs, cfg.scales, cfg.flip, norm.mean, norm.std, cfg.pad, cfg.canvas)
        size = inputs.shape[-2:]
        return merge_canvas_views(self.score_and_segment, views, size, cfg.views_per_batch)

    def restricted(self, inputs: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """Masks of the background and of the ``present`` classes ``(B, K)``, CRF included."""
        merged = restrict_classes(masks, present, self.settings.background_power)
        return self.refine_scores(inputs, merged, probabilities=True)

    @property
    def gives_logits(self) -> bool:
        """See the base class; scores are masks."""
        return False

    def seg_scores(self, inputs: Tensor) -> Tensor:
        """Masks of the classes that are recognised; those of a pixel need not add up to 1."""
        best, masks = self.merged_masks(inputs)
        return self.restricted(inputs, masks, self.recognised(best))

    def view_scores(self, inputs: Tensor) -> Tensor:
        """As :meth:`seg_scores`, of one view and without CRF."""
        scores, masks = self.score_and_segment(inputs)
        return restrict_classes(masks, self.recognised(scores), self.settings.background_power)

    def recognised(self, scores: Tensor) -> Tensor:
        """Classes ``(B, K)`` that a segmentation may use."""
        return scores.sigmoid() > self.settings.score_threshold

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Masks of the classes in the image labels, and the "clean" masks they decide."""
        _, masks = self.merged_masks(inputs)
        label = self.restricted(inputs, masks, image_labels > 0).max(dim=1).indices
        return Maps(*pack_present(masks[:, 1:], image_labels), label)
