"""MCTformer: class maps from the attention of class tokens."""

from dataclasses import dataclass
from typing import ClassVar

from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.models.utils.widths import check_width
from mmwsss.ops.class_attention import FUSIONS, fuse_maps, refine_by_attention
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels
from mmwsss.utils.checks import check_choice, check_range

from .map_classifier import MapClassifier, MapClassifierSettings


@dataclass(frozen=True)
class MCTformerSettings(MapClassifierSettings):
    """As :class:`MapClassifierSettings`.

    Attributes:
        maps: ``'refined'`` by the affinity of the patches, or ``'plain'``.
        fusion: Rule of :func:`mmwsss.ops.class_attention.fuse_maps`.
        class_layers: The class attention is that of this many last layers.
    """

    maps_choices: ClassVar = ('refined', 'plain')

    maps: str = 'refined'
    merge: str = 'mctformer'
    flip: bool = True
    fusion: str = 'product'
    class_layers: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice('test_cfg.fusion', self.fusion, FUSIONS)
        check_range('test_cfg.class_layers', self.class_layers, 1, integer=True)


@MODELS.register_module()
class MCTformer(MapClassifier):
    """A transformer with one class token per class, trained with image labels only.

    *Multi-class Token Transformer for Weakly Supervised Semantic Segmentation*, Xu et al., CVPR
    2022, arXiv 2203.02891: V1 and V2; *MCTformer+*, arXiv 2308.03005. Official code:
    xulianuwa/MCTformer.

    The attention of a class token to the patches is the map of its class (V1), multiplied by that
    of a patch classifier (V2; MCTformer+ takes the root). It is refined by one product with the
    attention between the patches, summed over all layers, rows as queries: ``P @ map``.

    Args:
        backbone: :class:`mmwsss.models.backbones.MultiClassTokenViT`.
        decode_head: :class:`mmwsss.models.decode_heads.ClassTokenHead`.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`MCTformerSettings`.

    Raises:
        ValueError: Backbone and head differ in their classes, ``test_cfg`` asks for the maps of a
            patch classifier that is not there or for more layers than there are; see also
            :class:`WSSSSegmentor`.
    """

    settings_type = MCTformerSettings

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        if self.backbone.num_classes != self.num_foreground:
            raise ValueError(
                f'backbone.num_classes={self.backbone.num_classes} and decode_head.num_classes='
                f'{self.num_foreground} must be equal: every class has one token'
            )
        width = self.decode_head.in_channels
        check_width(
            'decode_head.in_channels', width, 'backbone.embed_dims', self.backbone.embed_dims
        )
        fusion, layers = self.settings.fusion, len(self.backbone.blocks)
        if self.decode_head.conv is None and fusion != 'class':
            raise ValueError(
                f"test_cfg.fusion={fusion!r} needs a patch classifier: say fusion='class' (V1), or "
                'give the decode_head a patch_pool'
            )
        check_range('test_cfg.class_layers', self.settings.class_layers, 1, layers)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> maps of all classes ``(B, C_fg, h, w)``."""
        return self.class_maps(inputs)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """See :meth:`ClassTokenHead.loss`."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        return self.decode_head.loss(self.extract_feat(inputs), image_labels)

    def class_logits(self, features: TokenFeatures) -> Tensor:
        """Tokens -> logits of the classes ``(B, C_fg)``."""
        return self.decode_head(features)

    def class_maps(self, batch: Tensor, image_labels: Tensor | None = None) -> Tensor:
        """Images ``(B, 3, H, W)`` -> maps of all classes ``(B, C_fg, h, w)``, not negative."""
        cfg = self.settings
        features, sums = self.backbone.forward_with_attn(batch, cfg.class_layers)
        grid = features.patches.shape[-2:]
        maps = fuse_maps(
            sums.class_patch.unflatten(2, grid),
            self.decode_head.patch_maps(features),
            cfg.fusion,
            cfg.class_layers,
        )
        return maps if cfg.maps == 'plain' else refine_by_attention(maps, sums.patch)
