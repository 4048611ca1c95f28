"""WeCLIP: frozen CLIP as a strong backbone for weakly supervised semantic segmentation."""

from dataclasses import replace

import torch
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.clip_vit import CLIPFeatures
from mmwsss.models.utils.cam_modes import CAMModes
from mmwsss.models.utils.clip_cam import CLIPCAMs, clip_cams
from mmwsss.ops.cam import minmax_normalize, upsample
from mmwsss.ops.pseudo_label import add_background, decide, pack_pairs
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels

from .clip_segmentor import CLIPSegmentor


@MODELS.register_module()
class WeCLIP(CAMModes, CLIPSegmentor):
    """Frozen CLIP gives features and Grad-CAM seeds; a light decoder learns from pseudo labels
    that are refined online with CLIP's attention and the decoder's own affinity.

    Paper: Zhang et al., "Frozen CLIP: A Strong Backbone for Weakly Supervised Semantic
    Segmentation", CVPR 2024, arXiv 2406.11189. Official code: zbf1991/WeCLIP.

    Where paper and code differ the code is followed: the layers of the gated phase are kept by
    their signed, not absolute, difference to the affinity. Different here: float32 throughout
    (``half_rounding`` of backbone and head gives the official half-precision roundings), the
    phase depends on the training iteration alone (``refiner.gated_start``), a batch without
    foreground or background gives a finite loss (``loss_seg.official_nan``), image labels come
    from the label file.

    Args:
        text: Class and background texts (:class:`mmwsss.models.text_encoders.TextBank`).
        refiner: :class:`mmwsss.models.refiners.CLIPAffinityRefiner`.
        par: :class:`mmwsss.models.refiners.PAR`.
        test_cfg: As in :class:`CLIPSegmentor`, and ``mode``: ``'seg'`` predicts with the decoder
            and never looks at image labels; ``'cam'`` gives ``pred_cam`` and the pseudo mask as
            ``pred_sem_seg`` for the classes in the image labels. ``with_cam=True`` adds
            ``pred_cam`` and ``pred_pseudo_mask`` to the samples in ``'seg'`` mode, for pictures.
            ``cam='gradcam'`` puts the plain Grad-CAM maps, not the refined ones, in ``pred_cam``.
        kwargs: Arguments of :class:`CLIPSegmentor`.

    Raises:
        ValueError: If the head's classes are not the text bank's plus background.
    """

    cam_kinds = ('refined', 'gradcam')

    def __init__(self, text: dict, refiner: dict, par: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.text = MODELS.build(text)
        if self.decode_head.num_classes != self.text.num_classes + 1:
            raise ValueError(
                f'decode_head.num_classes is {self.decode_head.num_classes}, but text.class_names '
                f'has {self.text.num_classes} classes: it must be one more, for the background'
            )
        self.text.encode(self.backbone)
        self.backbone.drop_text()
        self.refiner = MODELS.build(refiner)
        for name in ('static_last', 'gated_last'):
            if not 1 <= getattr(self.refiner, name) <= self.backbone.num_layers:
                raise ValueError(
                    f'refiner.{name} is {getattr(self.refiner, name)}, but the CLIP has '
                    f'{self.backbone.num_layers} blocks'
                )
        self.par = MODELS.build(par)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against the pseudo labels of this very iteration."""
        image_labels = stack_image_labels(data_samples, self.text.num_classes)
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        gated = self.refiner.is_gated(iteration)
        features = self.backbone.encode(inputs, self.refiner.num_attn(gated) - 1)
        seg_logits, affinity = self.decode_head(features.tokens, features.grid)
        _, refined = self.make_cams(features, affinity, image_labels, gated)
        pseudo_label = self.make_pseudo_label(inputs, refined, inputs.shape[-2:])[1]
        return self.decode_head.loss_by_feat(seg_logits, affinity, pseudo_label)

    @torch.no_grad()
    def make_cams(
        self, features: CLIPFeatures, affinity: Tensor, image_labels: Tensor, gated: bool
    ) -> tuple[CLIPCAMs, CLIPCAMs]:
        """Grad-CAM of every class in the image labels, and its refinement.

        Args:
            features: With the attention maps that the phase needs.
            affinity: Predicted ``(B, N, N)``.
            image_labels: Multi-hot ``(B, C_fg)``.
            gated: Phase of the refiner.

        Returns:
            Plain and refined maps at patch resolution, plain ones in [0, 1].
        """
        with torch.autocast(affinity.device.type, enabled=False):
            plain = clip_cams(self.backbone, self.text, features, image_labels)
            refined = self.refiner(plain.maps, plain.attn, affinity, plain.image_index, gated)
        return plain, replace(plain, maps=refined)

    @torch.no_grad()
    def make_pseudo_label(
        self, image: Tensor, refined: CLIPCAMs, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Refined maps -> full-size cams ``(P, H, W)`` and pseudo label ``(B, H, W)``."""
        with torch.autocast(image.device.type, enabled=False):
            cams = upsample(minmax_normalize(refined.maps), size)
            packed, classes = pack_pairs(cams, refined.labels, refined.image_index, len(image))
            return cams, decide(self.par(image, add_background(packed)), classes)

    def add_cams(self, inputs: Tensor, data_samples: list[SegDataSample]) -> None:
        """Fill in ``pred_cam`` and ``pred_pseudo_mask`` for the classes in the image labels."""
        image_labels = stack_image_labels(data_samples, self.text.num_classes)
        view = self._test_view(inputs)
        features = self.backbone.encode(view, self.refiner.num_attn(gated=True) - 1)
        _, affinity = self.decode_head(features.tokens, features.grid)
        plain, refined = self.make_cams(features, affinity, image_labels, gated=True)
        cams, pseudo_label = self.make_pseudo_label(view, refined, inputs.shape[-2:])
        if self.test_cfg.get('cam', 'refined') == 'gradcam':
            cams = upsample(plain.maps, inputs.shape[-2:])
        for i, sample in enumerate(data_samples):
            mine = refined.image_index == i
            sample.pred_cam = BaseDataElement(cam=cams[mine], labels=refined.labels[mine])
            sample.pred_pseudo_mask = PixelData(data=pseudo_label[i : i + 1])
