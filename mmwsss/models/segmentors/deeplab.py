"""DeepLab as the retraining of weakly supervised methods uses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor

from mmwsss.models.utils.crf import refine_present
from mmwsss.models.utils.widths import check_map_widths, map_channels
from mmwsss.ops.multi_view import merge_logits, view_batches
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.pseudo_label import decide
from mmwsss.ops.resize import resize_label, upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, supervised_label
from mmwsss.utils.arguments import POSITIVE, checked, several
from mmwsss.utils.checks import check_choice, check_flag

from .base import WSSSSegmentor
from .sliding import SlidingSettings, fitted_views


@dataclass(frozen=True)
class DeepLabSettings(SlidingSettings):
    """As :class:`SlidingSettings`.

    Attributes:
        predict: ``'seg'``, or ``'cam'``: the probabilities of the classes in the image labels, and
            masks of no other class.
        upsample_views: Bring logits to the size of their view before that of the image: one
            interpolation more.
        crf_classes: ``'all'``, or ``'present'``: the CRF decides among the classes that win
            somewhere in the image, their probabilities made to sum to 1.
    """

    maps_choices: ClassVar = ('plain',)
    not_used: ClassVar = ('long_side',)
    seg_only: ClassVar = ()
    masks_by: ClassVar = 'seg'

    maps: str = 'plain'
    upsample_views: bool = False
    crf_classes: str = 'all'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag('test_cfg.upsample_views', self.upsample_views)
        check_choice('test_cfg.crf_classes', self.crf_classes, ('all', 'present'))


@MODELS.register_module()
@checked(msc_scales=several(POSITIVE, least=0))
class DeepLab(WSSSSegmentor, EncoderDecoder):
    """Any backbone and head with DeepLabV2's multi-scale training and the published tests.

    With ``msc_scales`` the network itself is multi-scale (Chen et al., arXiv 1606.00915; PyTorch:
    kazuto1011/deeplab-pytorch): it runs on the image and on each scale, the element-wise maximum
    of the logits is its output, and in training the full scale, each scale and the maximum have
    a loss of their own, at their own resolution, against labels reduced as Pillow does.

    Args:
        msc_scales: Scales besides 1, ``(0.5, 0.75)`` in DeepLabV2; empty for a single scale.
        kwargs: Arguments of mmseg's ``EncoderDecoder``; ``test_cfg``: :class:`DeepLabSettings`.

    Raises:
        ValueError: A head does not fit the backbone, ``msc_scales`` beside an auxiliary head, or
            unknown keys or values in ``test_cfg``.
    """

    settings_type = DeepLabSettings
    extract_feat = EncoderDecoder.extract_feat

    def __init__(self, *args, msc_scales: Sequence[float] = (), **kwargs) -> None:
        EncoderDecoder.__init__(self, *args, **kwargs)
        maps = map_channels(self.backbone, *([self.neck] if self.with_neck else []))
        for name, head in self.named_children():
            if name in ('decode_head', 'auxiliary_head') and hasattr(head, 'in_index'):
                check_map_widths(name, head.in_channels, head.in_index, maps)
        if msc_scales and self.with_auxiliary_head:
            raise ValueError('msc_scales trains the decode head alone: remove auxiliary_head')
        self.msc_scales = tuple(msc_scales)

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.num_classes - 1

    def forward_scales(self, inputs: Tensor) -> list[Tensor]:
        """Logits ``(B, C, h, w)`` of the full scale and of every MSC scale, then their maximum.

        Without MSC scales the list holds the full scale alone.
        """
        views = view_batches(inputs, (1, *self.msc_scales), flip=False)
        logits = [self.decode_head(self.extract_feat(view)) for view in views]
        if self.msc_scales:
            logits.append(merge_logits(logits, mode='logit_max'))
        return logits

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.forward_scales(inputs)[-1]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against ``gt_sem_seg``; see the class for those of the MSC scales."""
        if not self.msc_scales:
            return EncoderDecoder.loss(self, inputs, data_samples)
        label = supervised_label(data_samples)[:, None]
        names = ['decode', *(f'decode_x{scale:g}' for scale in self.msc_scales), 'decode_max']
        losses = {}
        for name, logits in zip(names, self.forward_scales(inputs), strict=True):
            reduced = resize_label(label, logits.shape[-2:])
            targets = [SegDataSample(gt_sem_seg=PixelData(data=target)) for target in reduced]
            losses.update(add_prefix(self.decode_head.loss_by_feat(logits, targets), name))
        return losses

    def encode_decode(self, inputs: Tensor, batch_img_metas: list | None = None) -> Tensor:
        """Images of one view -> logits ``(B, C, h, w)``."""
        logits = self._forward(inputs).float()
        if not self.settings.upsample_views:
            return logits
        return upsample(logits, inputs.shape[-2:], self.align_corners)

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Probabilities of the classes in the image labels, and the best of them and background."""
        scores = self.seg_scores(inputs)
        if self.gives_logits:
            scores = scores.softmax(dim=1)
        cams, classes = pack_present(scores[:, 1:], image_labels)
        return Maps(cams, classes, decide(torch.cat([scores[:, :1], cams], dim=1), classes))

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Scores ``(B, C, H, W)`` at the size of the input, as ``test_cfg`` asks for."""
        return self.seg_scores(inputs)

    def refine_scores(self, inputs: Tensor, scores: Tensor, probabilities: bool) -> Tensor:
        """The CRF among ``test_cfg.crf_classes``; otherwise as the base class."""
        crf = self.settings.crf
        if crf is None or self.settings.crf_classes == 'all':
            return super().refine_scores(inputs, scores, probabilities)
        prob = scores if probabilities else scores.softmax(dim=1)
        return refine_present(inputs, prob, self.data_preprocessor, renormalise=True, **crf)

    def merged_logits(self, inputs: Tensor) -> Tensor:
        """Scores of all views, merged at the size of the input."""
        cfg, norm = self.settings, self.data_preprocessor
        if cfg.fit or cfg.crop:
            views = fitted_views(self.encode_decode, inputs, cfg, norm.mean, norm.std)
        else:
            views = self.view_maps(self.encode_decode, inputs)
        return merge_logits(views, inputs.shape[-2:], cfg.merge, self.align_corners, cfg.flip)
