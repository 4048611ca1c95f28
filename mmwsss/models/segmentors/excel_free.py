"""ExCEL without training."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmwsss.registry import MODELS

from .patch_text_maps import PatchTextMaps, PatchTextSettings


@dataclass(frozen=True)
class ExCELFreeSettings(PatchTextSettings):
    """Image labels are needed; there is one view."""

    predict_choices: ClassVar = ('cam',)
    not_used: ClassVar = ('long_side', 'scales', 'sizes', 'flip', 'resize', 'merge', 'crf')
    seg_only: ClassVar = ()

    predict: str = 'cam'


@MODELS.register_module()
class ExCELFree(PatchTextMaps):
    """Pseudo masks of the frozen CLIP alone: what ExCEL's training starts from.

    Paper and official code: see :class:`mmwsss.models.segmentors.ExCEL`; there this is
    ``--training_free true``.

    Args:
        backbone: :class:`mmwsss.models.backbones.SurgeryCLIP`.
        text: :class:`mmwsss.models.text_encoders.AttributeTextBank`.
        refiner: :class:`mmwsss.models.refiners.CLIPAffinityRefiner` with a static
            phase alone.
        par: :class:`mmwsss.models.refiners.PAR`.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`ExCELFreeSettings`.
            ``maps='plain'`` are the patch-text maps.

    Raises:
        ValueError: See :meth:`PatchTextMaps.prepare` and :class:`WSSSSegmentor`.
    """

    settings_type = ExCELFreeSettings
    refiner_phases = ('static',)
    crf_in_test_cfg = False  # it has maps; tools/dense_crf.py refines a folder of them

    def __init__(self, backbone: dict, text: dict, refiner: dict, par: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, text=text, refiner=refiner, par=par), **kwargs)
        self.prepare([self.settings.side])

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """There is no segmentation."""
        raise NotImplementedError('ExCEL without training gives maps of the image labels')

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        return self.extract_feat(inputs)

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """There is nothing to train."""
        raise NotImplementedError(
            'this ExCEL is not trained: write its masks with tools/test.py CONFIG, or train one '
            'of mmwsss.ExCEL'
        )

    def maps_of_view(self, view: Tensor, image_labels: Tensor) -> Tensor:
        """See :class:`PatchTextMaps`; not calibrated."""
        features = self.backbone.encode_surgery(view, self.refiner.static_last)
        maps = self.patch_text_maps(features)
        if self.settings.maps == 'plain':
            return maps[0, image_labels[0] > 0]
        return self.refine(maps, features, image_labels)
