"""1-Stage: one segmentation network, trained end to end with image labels."""

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.cam_modes import MODES
from mmwsss.models.utils.crf import refine_with_crf
from mmwsss.ops.cam import upsample
from mmwsss.ops.canvas_views import canvas_views, merge_canvas_views, restrict_classes
from mmwsss.ops.class_balanced_loss import class_balanced_cross_entropy
from mmwsss.ops.ngwp import labelled_mask_size
from mmwsss.ops.pseudo_label import pack_pairs
from mmwsss.ops.relative_label import relative_label
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels


@MODELS.register_module()
class OneStage(BaseSegmentor):
    """The network's soft masks give class scores, and, refined, the labels they learn from.

    Paper: Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020,
    arXiv 2005.08104. Official code: visinf/1-stage-wseg.

    Where paper and code differ the code is followed (the kernel of PAMR, the constants of the
    pooling). Different here: the phase depends on the training iteration, not on the epoch; no
    pseudo label is made before it is used; only the classes of an image are refined; the labels
    of an image are used in evaluation only if ``test_cfg.mode`` says so.

    Args:
        backbone: Gives shallow features at stride 4 and deep ones
            (:class:`mmwsss.models.backbones.ResNet38d` with ``out_indices=(4, 3)``).
        decode_head: :class:`mmwsss.models.decode_heads.OneStageHead`.
        refiner: :class:`mmwsss.models.refiners.PAMR`.
        mask_loss_start: Training iterations with the classification loss alone: five epochs, 3305
            iterations of 16 images of VOC.
        label_low, label_foreground, label_background: See
            :func:`mmwsss.ops.relative_label.relative_label`.
        test_cfg: ``mode`` ``'seg'``: the classes whose probability is above ``score_threshold``
            in any view may appear, image labels are never looked at; ``'cam'``: the classes in the
            image labels ("clean" masks), with ``pred_cam``; ``with_cam=True`` adds ``pred_cam`` to
            samples with image labels in ``'seg'`` mode, for pictures. The views: ``scales``,
            ``flip``, ``pad``, ``canvas``, as in :func:`mmwsss.ops.canvas_views.canvas_views`, and
            ``views_per_batch``. ``background_power`` sharpens the background; ``crf`` (arguments of
            :func:`mmwsss.models.utils.crf.refine_with_crf`, or None) comes last.
        data_preprocessor: mmseg's, with the statistics the backbone was trained with.
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.

    Raises:
        ValueError: Unknown ``test_cfg.mode``, or a data preprocessor without mean and std.
    """

    align_corners = False

    crf_in_test_cfg = True

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        refiner: dict,
        mask_loss_start: int,
        label_low: float = 0.2,
        label_foreground: float = 0.6,
        label_background: float = 0.7,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        self.refiner = MODELS.build(refiner)
        self.mask_loss_start = mask_loss_start
        self.thresholds = (label_low, label_foreground, label_background)
        self.test_cfg = test_cfg or {}
        if self.test_cfg.get('mode', 'seg') not in MODES:
            raise ValueError(f'test_cfg.mode must be one of {MODES}, not {self.test_cfg["mode"]!r}')
        if not hasattr(self.data_preprocessor, 'mean'):
            raise ValueError(
                'OneStage looks at pixel colours: give data_preprocessor (SegDataPreProcessor) '
                'the mean and std of the normalisation'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Shallow and deep feature maps."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> logits at stride 4 ``(B, 1 + K, h, w)``."""
        return self.decode_head(self.extract_feat(inputs))

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Classification loss and, later, the mask loss against refined masks.

        ``mask_size`` (mean share of an image that the mask of one of its classes covers) and
        ``mask_images`` (share of the images with a mask loss) are for the log.
        """
        image_labels = stack_image_labels(data_samples, self.decode_head.num_classes)
        logits = self.encode_decode(inputs)
        masks = logits.softmax(dim=1)
        scores = self.decode_head.scores(logits, masks)
        losses = dict(
            loss_cls=F.multilabel_soft_margin_loss(scores, image_labels),
            mask_size=labelled_mask_size(masks[:, 1:].detach(), image_labels).mean(),
        )
        if MessageHub.get_current_instance().get_info('iter', 0) >= self.mask_loss_start:
            label = self.make_pseudo_label(inputs, masks, image_labels)
            per_image = class_balanced_cross_entropy(logits, label, image_labels)
            losses['loss_mask'] = per_image.mean()
            losses['mask_images'] = (per_image > 0).float().mean()
        return losses

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
        image, label = image_labels.nonzero(as_tuple=True)
        packed, classes = pack_pairs(masks[image, label + 1], label, image, len(masks))
        packed = torch.cat([masks[:, :1], packed], dim=1)
        refined = self.refiner(self._pixels(inputs), packed)
        size = inputs.shape[-2:]
        refined = F.interpolate(refined, size=size, mode='bilinear', align_corners=True)
        return refined, classes

    def _pixels(self, inputs: Tensor) -> Tensor:
        """Colours in [0, 1]; black areas, exactly 0, stay flat when they are resized."""
        norm = self.data_preprocessor
        return (inputs * norm.std + norm.mean) / 255

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

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Fill in ``pred_sem_seg`` and ``seg_logits``; see ``test_cfg``.

        ``seg_logits`` are the logarithm of the merged masks, which do not sum to 1, cut off below
        at log 1e-5; with a CRF they are its posterior.
        """
        cfg, norm = self.test_cfg, self.data_preprocessor
        data_samples = data_samples or [
            SegDataSample(metainfo=dict(ori_shape=tuple(inputs.shape[-2:]))) for _ in inputs
        ]
        views = canvas_views(
            inputs,
            cfg.get('scales', (1.0,)),
            cfg.get('flip', False),
            norm.mean,
            norm.std,
            cfg.get('pad', 'none'),
            cfg.get('canvas', 1024),
        )
        best, masks = merge_canvas_views(
            self.score_and_segment, views, inputs.shape[-2:], cfg.get('views_per_batch', 2)
        )
        with_labels = cfg.get('mode', 'seg') == 'cam'
        if with_labels:
            present = stack_image_labels(data_samples, self.decode_head.num_classes) > 0
        else:
            present = best.sigmoid() > cfg.get('score_threshold', 0.1)
        merged = restrict_classes(masks, present, cfg.get('background_power', 3.0))
        if cfg.get('crf'):
            posterior = refine_with_crf(inputs, merged, norm, **cfg['crf'])
            data_samples = self.postprocess_result(posterior, data_samples)
        else:
            data_samples = self.postprocess_result(merged, data_samples)
            for sample in data_samples:
                sample.seg_logits.data = sample.seg_logits.data.clamp(min=1e-5).log()
        has_labels = all('gt_image_labels' in sample for sample in data_samples)
        if with_labels or (cfg.get('with_cam', False) and has_labels):
            self._add_cams(masks, data_samples)
        return data_samples

    def _add_cams(self, masks: Tensor, data_samples: list[SegDataSample]) -> None:
        image_labels = stack_image_labels(data_samples, self.decode_head.num_classes)
        for maps, mine, sample in zip(masks[:, 1:], image_labels, data_samples, strict=True):
            labels = mine.nonzero().flatten()
            cam = upsample(maps[labels], sample.metainfo['ori_shape'][:2])
            sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
