"""AFA: affinity from attention."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.widths import check_map_widths, check_width, map_channels
from mmwsss.ops.affinity import random_walk_step
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.cam.multi_scale import multi_scale_cams
from mmwsss.ops.pseudo_label import decide, threshold_label
from mmwsss.ops.pseudo_label.two_threshold import (
    background_softmax,
    refine_at_half,
    refine_in_box,
    two_threshold_label,
)
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_boxes, stack_image_labels
from mmwsss.utils.arguments import FLAG, POSITIVE, SHARE, WHOLE, checked, several
from mmwsss.utils.checks import check_range

from .base import TestSettings
from .single_stage import SingleStageWSSS, label_samples


@dataclass(frozen=True)
class AFASettings(TestSettings):
    """Mean of the logits over an image and its mirror image, maximum over the scales.

    Attributes:
        background: Background score of the pseudo mask from the plain CAMs.
    """

    merge: str = 'logit_pair_max'
    background: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.background', self.background, 0, 1)


class CellAffinity(NamedTuple):
    """Affinity ``matrix`` (B, h*w, h*w) of the cells of a ``grid`` (h, w)."""

    matrix: Tensor
    grid: tuple[int, int]


@MODELS.register_module()
@checked(
    cam_scales=several(POSITIVE),
    high=SHARE,
    low=SHARE,
    refined_start=WHOLE,
    affinity_from_refined=FLAG,
    bn_stats_from_cam_passes=FLAG,
)
class AFA(SingleStageWSSS):
    """A transformer whose attention, made an affinity, repairs the CAMs that train its decoder.

    Paper: Ru et al., "Learning Affinity from Attention: End-to-End Weakly-Supervised Semantic
    Segmentation with Transformers", CVPR 2022, arXiv 2203.02664. Official code: rulixiang/afa.

    Where paper and code differ the code is followed: attention logits are neither scaled nor
    normalised, the affinity loss counts one pair more on each side, one random-walk step with the
    squared affinity. Different here: a batch without foreground or background has a finite loss,
    the passes that make CAMs leave the decoder alone (``bn_stats_from_cam_passes``), and none is
    made while no loss needs its labels.

    Args:
        backbone: :class:`mmwsss.models.backbones.MixVisionTransformerAttn`.
        cam_head: :class:`mmwsss.models.decode_heads.CAMHead`.
        decode_head: Any decode head of mmseg.
        affinity_head: :class:`mmwsss.models.decode_heads.AttentionAffinityHead`.
        par: :class:`mmwsss.models.refiners.PAR` with ``resize='masks'``.
        loss_energy: Optional :class:`mmwsss.models.losses.DenseEnergyLoss`, the regulariser of
            the paper. Its start and weight belong into ``loss_schedule``, as those of the others.
        cam_scales: Scales of the multi-scale CAMs, 1 among them.
        high, low: Background scores of the pseudo labels.
        refined_start: From this iteration (from 0) on the segmentation learns from the CAMs
            propagated by the affinity, before from the CAMs.
        affinity_from_refined: From then on the affinity does, too (COCO).
        bn_stats_from_cam_passes: Run the decoder in the passes that make CAMs, from the first
            iteration on, so that they update its batch-norm statistics, as the official code does.
        kwargs: Arguments of :class:`SingleStageWSSS`. ``test_cfg.maps``: ``'refined'`` are the
            CAMs propagated by the affinity, and their pseudo mask with the background score
            ``low``; ``'plain'`` the CAMs, and their mask with ``test_cfg.background``. Maps are
            made at the size of the input.

    Raises:
        ValueError: The heads do not fit the backbone or do not have the same classes, scale 1 is
            missing, ``par`` resizes the image, or see :class:`SingleStageWSSS`.
    """

    settings_type = AFASettings
    loss_names = ('loss_cls', 'loss_seg', 'loss_affinity', 'loss_energy')

    def __init__(
        self,
        backbone: dict,
        cam_head: dict,
        decode_head: dict,
        affinity_head: dict,
        par: dict,
        loss_energy: dict | None = None,
        cam_scales: Sequence[float] = (1.0, 0.5, 1.5),
        high: float = 0.55,
        low: float = 0.35,
        refined_start: int = 6001,
        affinity_from_refined: bool = False,
        bn_stats_from_cam_passes: bool = False,
        **kwargs,
    ) -> None:
        parts = dict(
            backbone=backbone,
            cam_head=cam_head,
            decode_head=decode_head,
            affinity_head=affinity_head,
            par=par,
        )
        super().__init__(parts, **kwargs)
        if self.decode_head.num_classes != self.num_foreground + 1:
            raise ValueError(
                f'decode_head.num_classes is {self.decode_head.num_classes}, but cam_head has '
                f'{self.num_foreground} classes: it must be one more, for the background'
            )
        maps = map_channels(self.backbone)
        for name, head in (('cam_head', self.cam_head), ('decode_head', self.decode_head)):
            check_map_widths(name, head.in_channels, head.in_index, maps)
        check_width(
            'affinity_head.in_channels',
            self.affinity_head.in_channels,
            'the number of attention heads in the backbone.num_attn_blocks last blocks',
            self.backbone.num_attn_heads,
        )
        if self.par.resize != 'masks':
            raise ValueError("AFA refines at half size of the image: par needs resize='masks'")
        self.cam_scales = tuple(cam_scales)
        if 1 not in self.cam_scales:
            raise ValueError(f'cam_scales must contain 1.0, got {self.cam_scales}')
        if low > high:
            raise ValueError(f'AFA.low must be at most AFA.high, got {low} and {high}')
        self.loss_energy = MODELS.build(loss_energy) if loss_energy else None
        self.high = high
        self.low = low
        self.refined_start = refined_start
        self.affinity_from_refined = affinity_from_refined
        self.bn_stats_from_cam_passes = bn_stats_from_cam_passes

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.cam_head.num_classes

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against the image labels and the pseudo labels of this very iteration."""
        self._check_crop(inputs.shape[-2:])
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        box = stack_image_boxes(data_samples, inputs.shape[-2:], inputs.device)
        features, attn = self.backbone.forward_with_attn(inputs)
        seg_logits, affinity = self.decode_head(features), self.affinity_head(attn)
        seg_label, affinity_label = self.make_labels(inputs, image_labels, box)
        losses = self.cam_head.loss(features, image_labels)
        losses.update(self.decode_head.loss_by_feat(seg_logits, label_samples(seg_label)))
        losses.update(self.affinity_head.loss(affinity, affinity_label, features[-1].shape[-2:]))
        if self.loss_energy and self.loss_weight('loss_energy'):
            upsampled = upsample(seg_logits, inputs.shape[-2:])
            losses['loss_energy'] = self.loss_energy(upsampled, self.pixels(inputs), seg_label, box)
        return self.weigh_losses(losses)

    def _check_crop(self, size: tuple[int, int]) -> None:
        cell, scale = math.prod(self.backbone.strides), max(self.cam_scales)
        if any(side % cell or int(side * scale) % cell for side in size):
            raise ValueError(
                f'AFA cannot train on crops of {size[0]}x{size[1]} pixels: the sides, and '
                f'{scale:g} times the sides (the largest of cam_scales), must be multiples of the '
                f'{cell} pixels of a cell; {2 * cell} divides both for the default scales. Change '
                'crop_size of mmwsss.RandomPadCrop and the size of the data preprocessor'
            )

    @torch.no_grad()
    def make_labels(
        self, inputs: Tensor, image_labels: Tensor, box: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Label maps ``(B, H, W)`` of this iteration for the segmentation and for the affinity.

        All pixels are ignored while no loss needs them.
        """
        users = ['loss_seg', 'loss_affinity'] + ['loss_energy'] * (self.loss_energy is not None)
        if not self.bn_stats_from_cam_passes and not any(map(self.loss_weight, users)):
            ignored = torch.full_like(inputs[:, 0], 255, dtype=torch.int64)
            return ignored, ignored
        refined = self.phase(self.refined_start)
        affinity_scale = max(self.cam_scales) if refined else None
        cams, classes, affinity = self.make_cams(inputs, image_labels, affinity_scale)
        image = self.pixels(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            if not refined:
                label = self.cam_label(image, cams, classes, box)
                return label, label
            label = self.refined_label(image, cams, classes, affinity, box)
            if self.affinity_from_refined:
                return label, label
            return label, self.cam_label(image, cams, classes, box)

    @torch.no_grad()
    def make_cams(
        self, inputs: Tensor, image_labels: Tensor, affinity_scale: float | None
    ) -> tuple[Tensor, Tensor, CellAffinity | None]:
        """Multi-scale CAMs of the present classes, and the affinity of one scale.

        Args:
            inputs: ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.
            affinity_scale: One of ``cam_scales``, or None for no affinity.

        Returns:
            Cams ``(B, K, H, W)`` in [0, 1], classes ``(B, K)`` and the affinity.
        """
        affinity = None

        def forward(batch: Tensor, scale: float) -> Tensor:
            nonlocal affinity
            if scale == affinity_scale:
                features, attn = self.backbone.forward_with_attn(batch)
                matrix = self.affinity_head([logits[: len(inputs)] for logits in attn])
                affinity = CellAffinity(matrix.float(), features[-1].shape[-2:])
            else:
                features = self.extract_feat(batch)
            if self.training and self.bn_stats_from_cam_passes:
                self.decode_head(features)
            return self.cam_head.scores(features)

        cams, classes = multi_scale_cams(forward, inputs, image_labels, self.cam_scales)
        return cams, classes, affinity

    def cam_label(self, image: Tensor, cams: Tensor, classes: Tensor, box: Tensor) -> Tensor:
        """CAMs, refined by PAR, -> two-threshold label ``(B, H, W)``."""
        half = [side // 2 for side in cams.shape[-2:]]
        scores = background_softmax(upsample(cams, half), classes, (self.high, self.low))
        return two_threshold_label(refine_at_half(self.par, image, scores), classes, box)

    def refined_label(
        self, image: Tensor, cams: Tensor, classes: Tensor, affinity: CellAffinity, box: Tensor
    ) -> Tensor:
        """CAMs, propagated and refined by PAR, -> two-threshold label ``(B, H, W)``."""
        scores = self.propagate(cams, classes, affinity, (self.high, self.low))
        return two_threshold_label(refine_in_box(self.par, image, scores, box), classes, box)

    def propagate(
        self, cams: Tensor, classes: Tensor, affinity: CellAffinity, backgrounds: Sequence[float]
    ) -> Tensor:
        """One random-walk step on the cells, for each background score.

        Returns:
            ``(B, T * (1 + K), H, W)`` (see :mod:`mmwsss.ops.pseudo_label.two_threshold`).
        """
        scores = background_softmax(upsample(cams, affinity.grid), classes, backgrounds)
        walked = random_walk_step(scores, affinity.matrix, self.affinity_head.radius)
        return upsample(walked, cams.shape[-2:])

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """CAMs, propagated by the affinity or plain, and the pseudo mask."""
        if self.settings.maps == 'plain':
            cams, classes, _ = self.make_cams(inputs, image_labels, None)
            return Maps(cams, classes, threshold_label(cams, classes, self.settings.background))
        cams, classes, affinity = self.make_cams(inputs, image_labels, 1.0)
        scores = self.propagate(cams, classes, affinity, (self.low,))
        return Maps(minmax_normalize(scores[:, 1:]), classes, decide(scores, classes))
