"""Frozen CLIP with a trained decoder."""

from dataclasses import dataclass
from typing import ClassVar

from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.clip_decoder import ALL_BUT_LAST, check_clip_decoder
from mmwsss.registry import MODELS
from mmwsss.structures import supervised_label

from .base import TestSettings, WSSSSegmentor


@dataclass(frozen=True)
class CLIPSegmentorSettings(TestSettings):
    """It makes no maps."""

    predict_choices: ClassVar = ('seg',)


@MODELS.register_module()
class CLIPSegmentor(WSSSSegmentor):
    """A decoder on frozen CLIP tokens, trained on the masks it is given.

    With true masks it is the upper bound of the weakly supervised methods that share its decoder;
    with pseudo masks it is their retraining.

    Args:
        backbone: Frozen CLIP (:class:`mmwsss.models.backbones.FrozenCLIP`).
        decode_head: Decoder (:class:`mmwsss.models.decode_heads.WeCLIPHead`).
        kwargs: Arguments of :class:`WSSSSegmentor`.

    Raises:
        ValueError: The decoder does not have one layer per CLIP block but the last, or see
            :class:`WSSSSegmentor`.
    """

    settings_type = CLIPSegmentorSettings

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        check_clip_decoder(
            self.decode_head, self.backbone, self.backbone.num_layers - 1, ALL_BUT_LAST
        )

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> ``seg_logits`` at patch resolution ``(B, C, h, w)``."""
        features = self.backbone.encode(inputs)
        return self.decode_head(features.tokens, features.grid)[0]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against ``gt_sem_seg``."""
        features = self.backbone.encode(inputs)
        seg_logits, affinity = self.decode_head(features.tokens, features.grid)
        return self.decode_head.loss_by_feat(seg_logits, affinity, supervised_label(data_samples))
