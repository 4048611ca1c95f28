"""A classifier whose class activation maps are the seeds of the next stage."""

from collections.abc import Sequence

from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.widths import check_map_widths, map_channels
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels

from .map_classifier import MapClassifier


@MODELS.register_module()
class CAMClassifier(MapClassifier):
    """Multi-label classifier; trained with image labels only, tested for activation maps.

    With :class:`ResNet38d` or :class:`VGG16d` it is the first stage of PSA (Ahn and Kwak, CVPR
    2018, arXiv 1803.10464; official code: jiwoon-ahn/psa), with mmseg's ``ResNet`` the CAM
    baseline of IRN (Ahn et al., CVPR 2019, arXiv 1904.05044; official code: jiwoon-ahn/irn).

    Args:
        backbone: Feature extractor.
        decode_head: :class:`mmwsss.models.decode_heads.CAMHead`.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`MapClassifierSettings`.

    Raises:
        ValueError: The head does not fit the backbone, or see :class:`WSSSSegmentor`.
    """

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        head, maps = self.decode_head, map_channels(self.backbone)
        check_map_widths('decode_head', [head.in_channels], head.in_index, maps)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> activation maps of all classes ``(B, K, h, w)``."""
        return self.decode_head.cam(self.extract_feat(inputs))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Multi-label soft margin against the image labels."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        return self.decode_head.loss(self.extract_feat(inputs), image_labels)

    def class_logits(self, features: Sequence[Tensor]) -> Tensor:
        """Features of the backbone -> logits of the classes ``(B, C_fg)``."""
        return self.decode_head(features)

    def class_maps(self, batch: Tensor, image_labels: Tensor) -> Tensor:
        """Images ``(B, 3, h, w)`` -> maps of all classes ``(B, C_fg, h', w')`` before relu."""
        return self.decode_head.scores(self.extract_feat(batch))
