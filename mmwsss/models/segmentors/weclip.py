"""WeCLIP: frozen CLIP as a strong backbone for weakly supervised semantic segmentation."""

from dataclasses import replace

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.clip_vit import CLIPFeatures, CLIPRequest
from mmwsss.models.utils.clip_cam import CLIPCAMs, clip_cams, label_of_pairs
from mmwsss.models.utils.clip_decoder import ALL_BUT_LAST, check_clip_decoder, check_text_classes
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels

from .single_stage import SingleStageWSSS


@MODELS.register_module()
class WeCLIP(SingleStageWSSS):
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
        backbone: Frozen CLIP (:class:`mmwsss.models.backbones.FrozenCLIP`).
        decode_head: Decoder (:class:`mmwsss.models.decode_heads.WeCLIPHead`).
        text: Class and background texts (:class:`mmwsss.models.text_encoders.TextBank`).
        refiner: :class:`mmwsss.models.refiners.CLIPAffinityRefiner`.
        par: :class:`mmwsss.models.refiners.PAR`.
        kwargs: Arguments of :class:`SingleStageWSSS`. ``test_cfg.maps='plain'`` are the Grad-CAM
            maps; maps are made of one view, at ``long_side``.

    Raises:
        ValueError: The head's classes are not the text bank's plus background, its layers not the
            CLIP's, the refiner wants more blocks than there are, or see :class:`SingleStageWSSS`.
    """

    loss_names = ('loss_seg', 'loss_affinity')

    def __init__(
        self, backbone: dict, decode_head: dict, text: dict, refiner: dict, par: dict, **kwargs
    ) -> None:
        parts = dict(
            backbone=backbone, decode_head=decode_head, text=text, refiner=refiner, par=par
        )
        super().__init__(parts, **kwargs)
        check_clip_decoder(
            self.decode_head, self.backbone, self.backbone.num_layers - 1, ALL_BUT_LAST
        )
        check_text_classes(self.decode_head, self.text.num_classes)
        self.text.encode(self.backbone)
        self.backbone.drop_text()
        self.refiner.check(self.backbone.num_layers)

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.text.num_classes

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> ``seg_logits`` at patch resolution ``(B, C, h, w)``."""
        features = self.backbone.encode(inputs)
        return self.decode_head(features.tokens, features.grid)[0]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against the pseudo labels of this very iteration."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        gated = self.phase(self.refiner.gated_start)
        features = self.backbone.encode(inputs, CLIPRequest(attn=self.refiner.num_attn(gated)))
        seg_logits, affinity = self.decode_head(features.tokens, features.grid)
        _, refined = self.make_cams(features, affinity, image_labels, gated)
        pseudo_label = self.make_pseudo_label(inputs, refined, inputs.shape[-2:]).label
        losses = self.decode_head.loss_by_feat(seg_logits, affinity, pseudo_label)
        return self.weigh_losses(losses)

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

    def make_pseudo_label(self, image: Tensor, found: CLIPCAMs, size: tuple[int, int]) -> Maps:
        """Full-size maps and pseudo label; see :func:`label_of_pairs`."""
        return label_of_pairs(self.par, image, found.maps, found.labels, found.image_index, size)

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Grad-CAM or its refinement, and the pseudo mask that PAR makes of it."""
        view = self.test_view(inputs)
        features = self.backbone.encode(view, CLIPRequest(attn=self.refiner.num_attn(gated=True)))
        _, affinity = self.decode_head(features.tokens, features.grid)
        plain, refined = self.make_cams(features, affinity, image_labels, gated=True)
        found = plain if self.settings.maps == 'plain' else refined
        return self.make_pseudo_label(view, found, inputs.shape[-2:])
