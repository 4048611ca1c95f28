"""DeepLab as the retraining of weakly supervised methods uses it."""

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor

from mmwsss.models.utils.crf import refine_with_crf
from mmwsss.ops.label_map import resize_label
from mmwsss.ops.multi_view import merge_logits, view_batches, view_maps
from mmwsss.registry import MODELS


@MODELS.register_module()
class DeepLab(EncoderDecoder):
    """Any backbone and head with DeepLabV2's multi-scale training and the published tests.

    With ``msc_scales`` the network itself is multi-scale (Chen et al., arXiv 1606.00915; PyTorch:
    kazuto1011/deeplab-pytorch): it runs on the image and on each scale, the element-wise maximum
    of the logits is its output, and in training the full scale, each scale and the maximum have
    a loss of their own, at their own resolution, against labels reduced as Pillow does.

    Args:
        msc_scales: Scales besides 1, ``(0.5, 0.75)`` in DeepLabV2; empty for a single scale.
        test_cfg: ``scales`` and ``flip`` (views of the test), ``resize`` (how views are made,
            :func:`mmwsss.ops.multi_view.make_resize`), ``merge`` (``'logit_mean'``,
            ``'logit_max'``, ``'prob_mean'`` or ``'prob_max'``), ``upsample_views`` (bring logits
            to the size of their view before that of the image: one interpolation more), ``crf``
            (arguments of :func:`mmwsss.models.utils.crf.refine_with_crf`, or None).
            ``seg_logits`` of the result holds what the last step gives: logits, merged
            probabilities or the CRF's posterior.
        kwargs: Arguments of mmseg's ``EncoderDecoder``.
    """

    crf_in_test_cfg = True

    def __init__(self, *args, msc_scales: Sequence[float] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if msc_scales and self.with_auxiliary_head:
            raise ValueError('msc_scales trains the decode head alone: remove auxiliary_head')
        self.msc_scales = tuple(msc_scales)

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
            return super().loss(inputs, data_samples)
        label = torch.stack([s.gt_sem_seg.data for s in data_samples])
        names = ['decode', *(f'decode_x{scale:g}' for scale in self.msc_scales), 'decode_max']
        losses = {}
        for name, logits in zip(names, self.forward_scales(inputs), strict=True):
            reduced = resize_label(label, logits.shape[-2:])
            targets = [SegDataSample(gt_sem_seg=PixelData(data=target)) for target in reduced]
            losses.update(add_prefix(self.decode_head.loss_by_feat(logits, targets), name))
        return losses

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Scores ``(B, C, H, W)`` at the size of the input, as ``test_cfg`` asks for."""
        cfg = self.test_cfg or {}
        views = view_maps(
            self._view_logits,
            inputs,
            cfg.get('scales', (1.0,)),
            cfg.get('flip', False),
            cfg.get('resize', 'factor'),
        )
        merge = cfg.get('merge', 'logit_mean')
        scores = merge_logits(views, inputs.shape[-2:], merge, self.align_corners)
        if not cfg.get('crf'):
            return scores
        prob = scores.softmax(dim=1) if merge.startswith('logit') else scores
        return refine_with_crf(inputs, prob, self.data_preprocessor, **cfg['crf'])

    def _view_logits(self, view: Tensor) -> Tensor:
        logits = self._forward(view).float()
        if not (self.test_cfg or {}).get('upsample_views', False):
            return logits
        return resize(
            logits,
            view.shape[-2:],
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )
