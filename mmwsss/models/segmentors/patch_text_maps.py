"""Maps of how well patches fit class texts, and the masks that they give (ExCEL)."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsss.models.backbones.surgery_clip import SurgeryFeatures
from mmwsss.models.utils.clip_cam import label_of_pairs
from mmwsss.ops.clip.patch_text import localization_maps
from mmwsss.ops.clip.surgery import dynamic_attention
from mmwsss.structures import Maps
from mmwsss.utils.checks import check_range

from .base import TestSettings, WSSSSegmentor


@dataclass(frozen=True)
class PatchTextSettings(TestSettings):
    """Maps are made of one square view, as published.

    Attributes:
        side: Side of the view.
    """

    side: int = 320

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.side', self.side, 1, integer=True)


class PatchTextMaps(WSSSSegmentor):
    """What ExCEL with and without training have in common: from a frozen CLIP to pseudo masks.

    A method gives :meth:`maps_of_view`.
    """

    settings_type = PatchTextSettings
    refiner_phases: ClassVar[tuple[str, ...]] = ('static', 'gated')

    def prepare(self, sides: Sequence[int]) -> None:
        """Encode the texts, and check that the parts fit.

        Raises:
            ValueError: The refiner has other phases or wants more blocks than CLIP has, or patches
                do not fill a view of one of these ``sides``.
        """
        self.refiner.check(self.backbone.num_layers, self.refiner_phases)
        self.check_sides(sides)
        self.text.encode(self.backbone)
        self.backbone.drop_text()

    def check_sides(self, sides: Sequence[int]) -> None:
        """Raise ValueError if patches do not fill a view or crop with these sides."""
        patch = self.backbone.patch_size
        wrong = [side for side in sides if side % patch]
        if wrong:
            raise ValueError(
                f'views and crops must be multiples of the patch of {patch} pixels, got '
                f'{", ".join(map(str, wrong))}'
            )

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.text.num_classes

    @torch.no_grad()
    def patch_text_maps(self, features: SurgeryFeatures, fused: Tensor | None = None) -> Tensor:
        """Localisation maps of all classes; see :func:`localization_maps`.

        Args:
            features: Of CLIP.
            fused: Features ``(B, C, h, w)`` of the decoder, by which CLIP is calibrated.

        Returns:
            ``(B, C_fg, h, w)`` in [0, 1].
        """
        with torch.autocast(features.new.device.type, enabled=False):
            attention = None if fused is None else dynamic_attention(fused.float())
            patches = self.backbone.patch_features(features, attention)
            maps = localization_maps(patches, self.text.enriched, self.num_foreground)
        return maps[:, 1:].transpose(1, 2).unflatten(2, features.grid)

    @torch.no_grad()
    def refine(
        self,
        maps: Tensor,
        features: SurgeryFeatures,
        image_labels: Tensor,
        affinity: Tensor | None = None,
    ) -> Tensor:
        """Spread the maps of the classes in the image labels by CLIP's attention.

        Args:
            maps: ``(B, C_fg, h, w)``.
            features: With the attention that the phase needs.
            image_labels: Multi-hot ``(B, C_fg)``.
            affinity: Of the decoder ``(B, N, N)``; None: the static phase.

        Returns:
            ``(P, h, w)``, image-major, classes ascending.
        """
        image_index, labels = image_labels.nonzero(as_tuple=True)
        gated = affinity is not None
        with torch.autocast(maps.device.type, enabled=False):
            chosen = maps[image_index, labels].float()
            return self.refiner(chosen, features.attn, affinity, image_index, gated)

    def make_pseudo_label(
        self, image: Tensor, maps: Tensor, image_labels: Tensor, size: tuple[int, int]
    ) -> Maps:
        """Full-size maps and pseudo label; see :func:`label_of_pairs`.

        Args:
            image: What PAR sees, of any size.
            maps: ``(P, h, w)``, see :meth:`refine`.
            image_labels: Multi-hot ``(B, C_fg)``.
            size: Height and width of the result.
        """
        image_index, labels = image_labels.nonzero(as_tuple=True)
        return label_of_pairs(self.par, image, maps, labels, image_index, size)

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Patch-text maps or their refinement, and the pseudo mask that PAR makes of it."""
        side = (self.settings.side, self.settings.side)
        view = F.interpolate(inputs, size=side, mode='bilinear', align_corners=False)
        # calibration depends on the batch: as published, that is an image and its mirror image
        ones = zip(view.split(1), image_labels.split(1), strict=True)
        maps = torch.cat([self.maps_of_view(*one) for one in ones])
        return self.make_pseudo_label(view, maps, image_labels, inputs.shape[-2:])

    @abstractmethod
    def maps_of_view(self, view: Tensor, image_labels: Tensor) -> Tensor:
        """Maps ``(K, h, w)`` of the classes in the image labels ``(1, C_fg)`` of one square image.

        Those that ``test_cfg.maps`` names.
        """
